"""`ti search`: concepts found by the words that describe them."""

from __future__ import annotations

from typing import Annotated

import typer

from ticli.commands import filter_options as filters
from ticli.commands import options as shared
from ticli.terminal.concepts import show_concepts
from ticli.terminal.output import open_output


def search(
    text: Annotated[
        list[str], typer.Argument(metavar="TEXT...", help="Words to find.", show_default=False)
    ],
    tag: filters.TagOption = None,
    base: filters.BaseOption = None,
    kind: filters.KindOption = None,
    since: filters.SinceOption = None,
    limit: filters.LimitOption = None,
    json: shared.JsonOption = False,
    quiet: shared.QuietOption = False,
    verbose: shared.VerboseOption = False,
    no_color: shared.NoColorOption = False,
    debug: shared.DebugOption = False,
) -> None:
    """Find concepts by their words.

    Looks in names, tokens, tags, notes, init words, nouns and photo names, where every word given
    must be or begin one; case, accents and signs do not matter. Where nothing has such words, the
    same letters inside longer ones count too. The best match comes first.
    """
    from ticli.library.library import Library, Query
    from ticli.moments import moment

    output = open_output(json, quiet, verbose, no_color, debug)
    query = Query(
        tags=tuple(tag or ()),
        base=base or "",
        kind=kind or "",
        since=moment(since) if since else "",
        words=" ".join(text),
        limit=limit,
    )
    if not show_concepts(output, Library.open(), query):
        output.hint("nothing found; ti list shows all")
