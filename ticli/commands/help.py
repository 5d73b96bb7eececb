"""`ti help`: the page of a command, or of all."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ticli.commands import options
from ticli.errors import Usage
from ticli.names import did_you_mean
from ticli.terminal.output import Output


@options.with_output
def help_command(
    output: Output,
    context: typer.Context,
    command: Annotated[
        str | None, options.argument(metavar="COMMAND", help="The command to explain.")
    ] = None,
) -> None:
    """Explain a command."""
    root: Any = context.parent
    if command is None:
        # The root's own help option prints the overview and leaves.
        root.command.make_context("ti", ["--help"])
        return
    names = sorted(root.command.commands)
    if command not in names:
        hint = did_you_mean(command, names, "ti --help lists the commands")
        raise Usage(f"no command named {command!r}", hint)
    page = root.command.commands[command]
    with page.make_context(command, [], parent=root, resilient_parsing=True) as inner:
        typer.echo(inner.get_help())
