"""Which cases of a parametrised test run every day; the others are slow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def everyday(names: Iterable[Any], *kept: Any) -> list[Any]:
    """The names as parameters, all but the `kept` ones marked as slow."""
    return [name if name in kept else pytest.param(name, marks=pytest.mark.slow) for name in names]
