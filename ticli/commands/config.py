"""`ti config`: settings, where each comes from, and the file that holds them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ticli.commands import options
from ticli.errors import Usage
from ticli.terminal.output import Column, Output, open_output

COLUMNS = (Column("KEY"), Column("VALUE"), Column("ORIGIN"))
# What each action takes after its name.
WORDS = {"list": 0, "path": 0, "get": 1, "unset": 1, "set": 2}


def config(
    action: Annotated[
        Literal["list", "get", "set", "unset", "path"],
        typer.Argument(metavar="ACTION", help="list, get, set, unset or path."),
    ] = "list",
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="A setting.", show_default=False)
    ] = None,
    value: Annotated[
        str | None, typer.Argument(metavar="VALUE", help="Its new value.", show_default=False)
    ] = None,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Show and change settings.

    A flag goes before the environment, that before the config file, that before what is built in.
    """
    from ticli.paths import places

    output = open_output(json, quiet, verbose, no_color, debug)
    given = [word for word in (key, value) if word is not None]
    if len(given) != WORDS[action]:
        shape = " ".join([action, *("KEY", "VALUE")[: WORDS[action]]])
        raise Usage(
            f"ti config {action} takes {WORDS[action]} words after it", f"ti config {shape}"
        )
    if action == "path":
        path = str(places().config)
        if json:
            output.document({"path": path})
        else:
            output.exact(path)
    elif action == "list":
        _list(output)
    else:
        _change(action, given)
        _show(output, given[0], changed=action != "get")


def _change(action: str, given: list[str]) -> None:
    from ticli.paths import places
    from ticli.settings import set_value, unset_value

    if action == "set":
        set_value(places().config, given[0], given[1])
    elif action == "unset":
        unset_value(places().config, given[0])


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


def _list(output: Output) -> None:
    from ticli.settings import KEYS, load_settings

    settings = load_settings()
    if output.json:
        rows = [{"key": k, "value": settings[k], "origin": settings.origin(k)} for k in KEYS]
        output.document(rows)
    else:
        output.table(COLUMNS, [(key, settings[key], settings.origin(key)) for key in KEYS])
