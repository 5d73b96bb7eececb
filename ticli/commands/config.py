"""`ti config`: settings, where each comes from, and the file that holds them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ticli.commands import options
from ticli.errors import Usage
from ticli.terminal.output import Output, columns

COLUMNS = columns("KEY", "VALUE", "ORIGIN")
# How many words each action takes.
WORDS = {"list": 0, "path": 0, "get": 1, "unset": 1, "set": 2}


@options.with_output
def config(
    output: Output,
    action: Annotated[
        Literal["list", "get", "set", "unset", "path"],
        typer.Argument(metavar="ACTION", help="list, get, set, unset or path."),
    ] = "list",
    key: Annotated[str | None, options.argument(metavar="KEY", help="A setting.")] = None,
    value: Annotated[str | None, options.argument(metavar="VALUE", help="Its new value.")] = None,
) -> None:
    """Show and change settings.

    A flag wins over the environment, that over the config file, and that over the built-in value.
    """
    from ticli.paths import places
    from ticli.settings import KEYS, load_settings, set_value, unset_value

    file = places().config
    given = [word for word in (key, value) if word is not None]
    if len(given) != WORDS[action]:
        takes = ("KEY", "VALUE")[: WORDS[action]]
        raise Usage(
            f"ti config {action} takes {' and '.join(takes) or 'nothing'} after it",
            " ".join(("ti config", action, *takes)),
        )
    if action == "path":
        if output.json:
            output.document({"path": str(file)})
        else:
            output.exact(str(file))
    elif action == "list":
        settings = load_settings()
        rows = [(key, settings[key], settings.origin(key)) for key in KEYS]
        if output.json:
            output.document([{"key": k, "value": v, "origin": origin} for k, v, origin in rows])
        else:
            output.table(COLUMNS, rows)
    else:
        if action == "set":
            set_value(file, given[0], given[1])
        elif action == "unset":
            unset_value(file, given[0])
        _show(output, given[0], changed=action != "get")


def _show(output: Output, key: str, changed: bool) -> None:
    """Answer with the value that holds now, and say so where a change has no effect."""
    from ticli.settings import check_key, load_settings

    settings = load_settings()
    value, origin = settings[check_key(key)], settings.origin(key)
    if output.json:
        output.document({"key": key, "value": value, "origin": origin})
    elif changed:
        output.note(f"{key}: {value or 'not set'} ({origin})")
    else:
        output.exact(value)
    if changed and origin.startswith("env "):
        output.note(f"{origin.removeprefix('env ')} in the environment goes before the config file")
