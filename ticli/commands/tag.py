"""`ti tag`: the tags and notes of a concept."""

from __future__ import annotations

from typing import Annotated

import typer

from ticli.commands import options
from ticli.terminal.output import open_output


def tag(
    name: options.NameArgument,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="TAG", help="Add a tag; may repeat.", show_default=False),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove", metavar="TAG", help="Take a tag away; may repeat.", show_default=False
        ),
    ] = None,
    note: Annotated[
        str | None,
        typer.Option(
            "--note", metavar="TEXT", help='Set the notes; "" clears them.', show_default=False
        ),
    ] = None,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Change the tags and notes of a concept.

    Prints its tags, one a line. Without options it changes nothing.
    """
    from ticli.library.library import Library

    output = open_output(json, quiet, verbose, no_color, debug)
    concept = Library.open().tag(name, add or (), remove or (), note)
    if json:
        output.document({"name": concept.name, "tags": list(concept.tags), "notes": concept.notes})
    else:
        output.lines(concept.tags)
        if concept.notes:
            output.detail(f"notes: {concept.notes}")
