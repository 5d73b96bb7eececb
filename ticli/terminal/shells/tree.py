"""The command tree as the completion scripts need it: commands, their flags, their arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ticli.recipe import PRESETS
from ticli.settings import KEYS

# What a metavar stands for; `ti __complete KIND` answers concepts, tags, recipes and models.
KINDS = {
    "NAME": "concepts",
    "NAME...": "concepts",
    "PART...": "concepts",
    "OLD": "concepts",
    "TAG": "tags",
    "MODEL": "models",
    "NAME|FILE": "recipes",
    "FILE": "files",
    "FILE...": "files",
    "FILE|DIR|-": "files",
    "PHOTOS...": "files",
    "PATH": "files",
    "FOLDER": "files",
    "COMMAND": "commands",
    "KEY": "settings",
}
SHELL_COMMAND = "command ti __complete"


@dataclass(frozen=True)
class Value:
    """What may be written somewhere: words known in advance, or a kind looked up when asked.

    `kind` is one of concepts, tags, recipes, models (asked of `ti __complete`), files, or "".
    """

    label: str
    kind: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flag:
    """One option under all its names; a switch has no value."""

    names: tuple[str, ...]
    help: str
    value: Value | None
    repeats: bool


@dataclass(frozen=True)
class Command:
    """One command under its name and aliases, with its flags and its arguments in order."""

    names: tuple[str, ...]
    help: str
    flags: tuple[Flag, ...]
    places: tuple[Value, ...]
    endless: bool

    @property
    def name(self) -> str:
        return self.names[0]


def read_tree(group: Any) -> tuple[Command, ...]:
    """Read the parser's command group. Hidden commands count as aliases of the same function."""
    shown = {name: found for name, found in group.commands.items() if not found.hidden}
    aliases: dict[str, list[str]] = {}
    for name, found in group.commands.items():
        if found.hidden:
            aliases.setdefault(found.help, []).append(name)
    return tuple(
        _read(name, found, aliases.get(found.help, []), tuple(shown))
        for name, found in shown.items()
    )


def _read(name: str, found: Any, aliases: list[str], commands: tuple[str, ...]) -> Command:
    parameters = [item for item in found.params if not getattr(item, "hidden", False)]
    places = [item for item in parameters if item.param_type_name == "argument"]
    flags = [item for item in parameters if item.param_type_name == "option"]
    return Command(
        names=(name, *aliases),
        help=_first_line(found.help),
        flags=(*(_flag(item, commands) for item in flags), HELP),
        places=tuple(_value(item, commands) for item in places),
        endless=any(item.nargs == -1 for item in places),
    )


def _flag(item: Any, commands: tuple[str, ...]) -> Flag:
    return Flag(
        names=(*item.opts, *item.secondary_opts),
        help=_first_line(item.help),
        value=None if item.is_flag else _value(item, commands),
        repeats=bool(item.multiple),
    )


def _value(item: Any, commands: tuple[str, ...]) -> Value:
    label = item.metavar or item.name.upper()
    choices = tuple(getattr(item.type, "choices", None) or ())
    kind = KINDS.get(label, "")
    # Only an argument called NAME is a concept; an option's may be a sampler.
    if kind == "concepts" and item.param_type_name == "option":
        kind = ""
    if kind == "commands":
        choices, kind = commands, ""
    elif kind == "settings":
        choices, kind = tuple(KEYS), ""
    elif kind == "recipes":
        choices, kind = PRESETS, "files"
    return Value(label, "" if choices and kind != "files" else kind, choices)


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0].rstrip(".")


HELP = Flag(("-h", "--help"), "Show this message and exit", None, False)
