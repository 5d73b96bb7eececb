"""`ti help`: the page of a command, or of all."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ticli.commands import options
from ticli.errors import Usage
from ticli.names import did_you_mean


def help_command(
    context: typer.Context,
    command: Annotated[
        str | None,
        typer.Argument(metavar="COMMAND", help="The command to explain.", show_default=False),
    ] = None,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Explain a command."""
    root: Any = context.parent
    names = sorted(root.command.commands)
    if command is None:
        # The root's own help option prints the overview and leaves.
        root.command.make_context("ti", ["--help"])
        return
    if command not in names:
        hint = did_you_mean(command, names, "ti --help lists the commands")
        raise Usage(f"no command named {command!r}", hint)
    page = root.command.commands[command]
    with page.make_context(command, [], parent=root, resilient_parsing=True) as inner:
        typer.echo(inner.get_help())
