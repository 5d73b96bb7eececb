"""`ti rename`: a concept under another name and token."""

from __future__ import annotations

from typing import Annotated

import typer

from ticli.commands import options
from ticli.names import lookup_name, parse_token, twin_name
from ticli.terminal.output import open_output


def rename(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="A concept, as mug or <mug>.", show_default=False)
    ],
    new: Annotated[
        str,
        typer.Argument(metavar="NEW", help='Its new name, as cup or "<Cup>".', show_default=False),
    ],
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Give a concept another name and token."""
    from ticli.library.library import Library

    output = open_output(json, quiet, verbose, no_color, debug)
    library = Library.open()
    renamed = library.rename(old, parse_token(new))
    has_twin = bool(renamed.recipe.get("negative_vectors"))
    twin = library.find(twin_name(lookup_name(old))) if has_twin else None
    if twin is not None:
        output.note(
            f"its negative twin is still {twin.token}: "
            f"`ti rename {twin.name} {twin_name(renamed.name)}`"
        )
    if json:
        output.document({"old": lookup_name(old), "new": renamed.name, "token": renamed.token})
    else:
        output.line(renamed.name)
