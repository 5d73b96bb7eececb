"""JSON as `ti` writes it: ASCII, every number finite, whatever cannot be said as text."""

from __future__ import annotations

import json
import math
from typing import Any


def json_text(value: Any, indent: bool = False) -> str:
    """Return one JSON document in ASCII; a number that is not finite becomes null."""
    step = 2 if indent else None
    try:
        return json.dumps(value, indent=step, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(_finite(value), indent=step, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
