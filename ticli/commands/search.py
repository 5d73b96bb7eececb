"""`ti search`: concepts found by the words that describe them."""

from __future__ import annotations

from typing import Annotated

from ticli.commands import options
from ticli.terminal.concept_views import show_concepts
from ticli.terminal.output import Output


@options.with_output
def search(
    output: Output,
    text: Annotated[list[str], options.argument(metavar="TEXT...", help="Words to find.")],
    tag: options.TagOption = None,
    base: options.BaseOption = "",
    kind: options.KindOption = None,
    since: options.SinceOption = "",
    limit: options.LimitOption = None,
) -> None:
    """Search the library.

    ti looks in names, tokens, tags, notes, init words, nouns and the names of photos. Every word
    given must be a word there or begin one. Case, accents and punctuation do not matter. If nothing
    matches, the same letters inside longer words count too. The best match comes first.
    """
    from ticli.library.library import Library, Query
    from ticli.plain_text import moment

    query = Query(
        tags=tuple(tag or ()),
        base=base,
        kind=kind or "",
        since=moment(since) if since else "",
        words=" ".join(text),
        limit=limit,
    )
    if not show_concepts(output, Library.open(), query):
        output.hint("nothing found; ti list shows all")
