"""`ti tag`: the tags and notes of a concept."""

from __future__ import annotations

from typing import Annotated

from ticli.commands import options
from ticli.terminal.output import Output


@options.with_output
def tag(
    output: Output,
    name: options.NameArgument,
    add: Annotated[
        list[str] | None, options.flag("--add", metavar="TAG", help="Add a tag; may repeat.")
    ] = None,
    remove: Annotated[
        list[str] | None,
        options.flag("--remove", metavar="TAG", help="Take a tag away; may repeat."),
    ] = None,
    note: Annotated[
        str | None,
        options.flag("--note", metavar="TEXT", help='Set the notes; "" clears them.'),
    ] = None,
) -> None:
    """Change the tags and notes of a concept.

    Prints its tags, one a line. Without options it changes nothing.
    """
    from ticli.library.library import Library

    concept = Library.open().tag(name, add or (), remove or (), note)
    if output.json:
        output.document({"name": concept.name, "tags": list(concept.tags), "notes": concept.notes})
    else:
        output.lines(concept.tags)
        if concept.notes:
            output.detail(f"notes: {concept.notes}")
