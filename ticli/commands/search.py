"""`ti search`: concepts found by the words that describe them."""

from __future__ import annotations

from typing import Annotated

import typer

from ticli.commands import options as shared
from ticli.terminal.concepts import show_concepts
from ticli.terminal.output import open_output


def search(
    text: Annotated[
        list[str], typer.Argument(metavar="TEXT...", help="Words to find.", show_default=False)
    ],
    limit: shared.LimitOption = None,
    json: shared.JsonOption = False,
    quiet: shared.QuietOption = False,
    verbose: shared.VerboseOption = False,
    no_color: shared.NoColorOption = False,
    debug: shared.DebugOption = False,
) -> None:
    """Find concepts by their words.

    Looks in names, tokens, tags, notes, init words and photo names, where every word given must
    be or begin one. The best match comes first.
    """
    from ticli.library.library import Library

    output = open_output(json, quiet, verbose, no_color, debug)
    found = Library.open().search(" ".join(text))[:limit]
    show_concepts(output, found)
    if not found:
        output.hint("nothing found; ti list shows all")
