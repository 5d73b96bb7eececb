"""What `ti __complete KIND` offers to the shells, without Typer, torch or a traceback."""

from __future__ import annotations


def values(kind: str, start: str = "") -> list[str]:
    """Return the words of a kind: concepts, tags, recipes or models; none of an unknown kind.

    `start` is what was typed so far, which only narrows down long lists. A word that would not
    survive a shell as one line is left out.
    """
    found: list[str] = []
    if kind in ("concepts", "tags"):
        from ticli.library.completing import completions
        from ticli.paths import places

        found = completions(kind, start, places().database)
    elif kind == "recipes":
        from ticli.recipe import PRESETS

        found = list(PRESETS)
    elif kind == "models":
        from ticli.models.short_names import short_names
        from ticli.models.source import usable
        from ticli.settings import load_settings

        found = [*short_names(), *(source.id for source in usable(load_settings()["model"]))]
    return [word for word in found if word and word.isprintable()]
