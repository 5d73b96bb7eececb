"""JSON, YAML and points in time, as `ti` writes and reads them."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ticli.errors import BadContent, NotFound, Usage


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


LARGEST = 1 << 20
DEEPEST = 8


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file with one mapping whose values are strings, lists or mappings of strings.

    Scalars stay strings, so that `no`, `1.10` and `5e-3` mean what they say. Aliases, tags,
    duplicate keys and deep nesting are refused, because the file may come from a stranger: this is
    why yaml.BaseLoader will not do. Raises NotFound and BadContent.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise BadContent(f"{path} is larger than 1 MiB", "a recipe or config file is small")
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise NotFound(f"no such file: {path}") from None
    except UnicodeDecodeError as error:
        raise BadContent(f"{path} is not UTF-8 text", "save it as UTF-8") from error
    except OSError as error:
        raise BadContent(f"{path} cannot be read: {error.strerror or error}") from error
    return parse_mapping(text, str(path))


def parse_mapping(text: str, origin: str) -> dict[str, Any]:
    """Parse YAML text as read_mapping does; `origin` names it in errors."""
    value = parse_document(text, origin)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadContent(f"{origin} holds no `key: value` lines", "write one `key: value` a line")
    return value


def parse_document(text: str, origin: str) -> Any:
    """Parse YAML text of any form as read_mapping does; None if it is empty."""
    import yaml

    try:
        # The pure-Python parser, which refuses anchors before they are used: nested aliases grow
        # without bound when walked, and tags choose constructors.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if getattr(event, "anchor", None) or getattr(event, "tag", None):
                line = event.start_mark.line + 1 if event.start_mark else 0
                raise yaml.YAMLError(f"line {line}: anchors, aliases and tags are not accepted")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return _plain(node, origin, 0) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error) or "not YAML"
        raise BadContent(f"{origin}{where}: {problem}", "write one `key: value` a line") from error


def _plain(node: Any, origin: str, depth: int) -> Any:
    import yaml

    if depth > DEEPEST:
        raise BadContent(f"{origin} is nested too deeply", "write one `key: value` a line")
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, origin, depth + 1) for item in node.value]
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = _plain(key_node, origin, depth + 1)
        where = f"{origin}, line {key_node.start_mark.line + 1}"
        if not isinstance(key, str):
            raise BadContent(f"{where}: a key must be a word")
        if key in mapping:
            raise BadContent(f"{where}: {key!r} occurs twice", "keep one of the two")
        mapping[key] = _plain(value_node, origin, depth + 1)
    return mapping


AGE = re.compile(r"(\d{1,6})\s*(min|h|d|w)")
DAY = timedelta(days=1)
UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": DAY, "w": 7 * DAY}


def moment(text: str, now: datetime | None = None) -> str:
    """Return the ISO 8601 time in UTC that a date, a time or an age such as 7d stands for.

    A time without a zone is the user's own. Raises Usage.
    """
    try:
        if age := AGE.fullmatch(text.strip().lower()):
            then = (now or datetime.now(UTC)) - int(age[1]) * UNITS[age[2]]
        else:
            then = datetime.fromisoformat(text.strip())
        return then.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError) as error:
        raise Usage(
            f"{text!r} is not a time",
            "write a date as 2026-01-31, or an age as 90min, 12h, 7d or 2w",
        ) from error
