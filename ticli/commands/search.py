"""`ti search`: concepts found by the words that describe them."""

from __future__ import annotations

from typing import Annotated

import typer

from ticli.commands import options
from ticli.terminal.concept_views import show_concepts
from ticli.terminal.output import open_output


def search(
    text: Annotated[
        list[str], typer.Argument(metavar="TEXT...", help="Words to find.", show_default=False)
    ],
    tag: options.TagOption = None,
    base: options.BaseOption = None,
    kind: options.KindOption = None,
    since: options.SinceOption = None,
    limit: options.LimitOption = None,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Find concepts by their words.

    ti looks in names, tokens, tags, notes, init words, nouns and the names of photos. Every word
    given must be a word there or begin one. Case, accents and punctuation do not matter. If nothing
    matches, the same letters inside longer words count too. The best match comes first.
    """
    from ticli.library.library import Library, Query
    from ticli.plain_text import moment

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
