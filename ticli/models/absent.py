"""Models that short names stand for and that cannot be used now."""

from __future__ import annotations

from typing import Any

from ticli.errors import ModelUnavailable
from ticli.models.downloading import cached_folder
from ticli.models.files import place_of
from ticli.models.short_names import short_names
from ticli.models.source import is_hub_id, locate, looked_at


def unusable_names() -> list[dict[str, Any]]:
    """Each such model as one JSON object, with the keys of one that can be used.

    `here` tells whether anything of it lies on this machine, `problem` why it cannot be used.
    """
    problems: dict[str, tuple[list[str], str]] = {}
    for name, model in short_names().items():
        try:
            locate(name)
        except ModelUnavailable as error:
            problems.setdefault(model, ([], error.message))[0].append(name)
    return [_unusable(model, names, why) for model, (names, why) in problems.items()]


def _unusable(model: str, names: list[str], why: str) -> dict[str, Any]:
    return {
        "id": model,
        "family": "",
        "revision": "",
        "widths": {},
        "windows": {},
        "size": 0,
        "license": "",
        "folder": "",
        "current": False,
        "names": names,
        "bytes": 0,
        "here": _is_here(model),
        "problem": why,
    }


def _is_here(model: str) -> bool:
    try:
        there = any(looked_at(place_of(model)))
    except ModelUnavailable:
        # It lies where the user may not look.
        return False
    return there or (is_hub_id(model) and cached_folder(model) is not None)
