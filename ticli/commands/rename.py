"""`ti rename`: a concept under another name and token."""

from __future__ import annotations

from typing import Annotated

from ticli.commands import options
from ticli.names import lookup_name, parse_token, twin_name
from ticli.terminal.output import Output


@options.with_output
def rename(
    output: Output,
    old: Annotated[str, options.argument(metavar="OLD", help="A concept, as mug or <mug>.")],
    new: Annotated[str, options.argument(metavar="NEW", help='Its new name, as cup or "<Cup>".')],
) -> None:
    """Give a concept another name and token."""
    from ticli.library.library import Library

    library = Library.open()
    renamed = library.rename(old, parse_token(new))
    has_twin = bool(renamed.recipe.get("negative_vectors"))
    twin = library.find(twin_name(lookup_name(old))) if has_twin else None
    if twin is not None:
        output.note(
            f"its negative twin is still {twin.token}: "
            f"`ti rename {twin.name} {twin_name(renamed.name)}`"
        )
    if output.json:
        output.document({"old": lookup_name(old), "new": renamed.name, "token": renamed.token})
    else:
        output.line(renamed.name)
