"""Short names that a user gives to models, in a file beside the settings."""

from __future__ import annotations

import re
from pathlib import Path

from ticli.config_file import change_line, written
from ticli.errors import BadContent, Conflict, NotFound, Usage
from ticli.paths import places
from ticli.plain_yaml import read_mapping

SHORT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
RESERVED = ("starter",)


def names_file() -> Path:
    """Where short names are kept; it may be absent."""
    return places().config.parent / "models.yaml"


def short_names() -> dict[str, str]:
    """Each short name with the folder or hub id it stands for. Raises BadContent."""
    path = names_file()
    if not path.is_file():
        return {}
    found = read_mapping(path)
    for name, model in found.items():
        if not isinstance(model, str) or not SHORT_NAME.fullmatch(name) or name in RESERVED:
            raise BadContent(
                f"{path}: {name!r} is no short name of a model", "write one `name: MODEL` a line"
            )
    return found


def add_short_name(name: str, model: str, *, replace: bool = False) -> None:
    """Let `name` stand for a model, written as `source.to_keep` gives it.

    Raises Usage, and Conflict where the name stands for something else.
    """
    if not SHORT_NAME.fullmatch(name) or name in RESERVED:
        raise Usage(
            f"{name!r} cannot be a short name",
            "lower-case letters, digits, . _ and -, beginning with a letter or digit",
        )
    if not model or "\n" in model or "\0" in model:
        raise Usage(f"{model!r} is no model", "give a folder or a hub id")
    standing = short_names().get(name)
    if standing is not None and standing != model and not replace:
        raise Conflict(f"{name} stands for {standing} already", "give --replace, or another name")
    change_line(names_file(), name, written(name, model), model)


def remove_short_name(name: str) -> str:
    """Take a short name away and return what it stood for. Raises NotFound."""
    known = short_names()
    if name not in known:
        raise NotFound(f"no short name {name!r}", f"short names: {', '.join(known) or 'none'}")
    change_line(names_file(), name, None, None)
    return known[name]
