"""JSON of strangers: bounded in size and in what it can grow to."""

from __future__ import annotations

import json
from typing import Any

# Every list and mapping takes some 200 bytes of memory however short its text is.
MOST_CONTAINERS = 400_000


def parse_json(text: bytes, largest: int) -> Any:
    """Parse UTF-8 JSON of at most `largest` bytes. Raises ValueError.

    Refused too: a key twice in one mapping, numbers that are not finite, halves of surrogate
    pairs, nesting without end, and more lists and mappings than any honest file has.
    """
    if len(text) > largest:
        raise ValueError(f"more than {largest >> 20} MiB of JSON")
    if text.count(b"{") + text.count(b"[") > MOST_CONTAINERS:
        raise ValueError("too many parts")
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_constant=_refuse_constant,
        )
        if b"\\u" in text:
            # Half a surrogate pair passes for JSON, and no other file can hold it.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key stands twice")
    return mapping


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")
