"""Rows as padded columns for people or as tab-separated values for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ticli.terminal.safe_text import safe_text

GAP = "  "
NARROWEST = 8


@dataclass(frozen=True)
class Column:
    """A heading and how its values stand; numbers stand right."""

    heading: str
    right: bool = False


def display_width(text: str) -> int:
    """Return how many terminal cells a safe text takes: two for wide letters, none for marks."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
        for character in text
    )


def padded(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int | None = None
) -> list[str]:
    """Lay rows out as lines under a heading, no line wider than `room` cells where it is given."""
    texts = [[column.heading for column in columns]]
    # What no line can show is not laid out: a tag may be as long as a book. A cell of the screen
    # holds a letter and at most five signs of marks on it.
    most = sys.maxsize if room is None else 8 * max(room, NARROWEST)
    texts += [[safe_text(cell[:most]) for cell in row] for row in rows]
    widths = [max(display_width(row[i]) for row in texts) for i in range(len(columns))]
    if room is not None:
        widths = _fit(widths, room)
    return [
        GAP.join(
            _cell(text, width, column.right)
            for text, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in texts
    ]


def tab_separated(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lay rows out as lines of tab-separated fields under a heading, nothing cut.

    A tab or newline inside a field is escaped, so a line always has one field a column.
    """
    yield "\t".join(column.heading for column in columns)
    for row in rows:
        yield "\t".join(map(safe_text, row))


def _fit(widths: list[int], room: int) -> list[int]:
    """Narrow the widest columns, all to the same width, until the line fits or all are narrow."""
    room -= len(GAP) * (len(widths) - 1)
    if sum(widths) <= room:
        return widths
    for width in range(room, NARROWEST - 1, -1):
        if sum(min(cells, width) for cells in widths) <= room:
            # What is left over goes to the first of those that were cut.
            left = room - sum(min(cells, width) for cells in widths)
            cut = [i for i, cells in enumerate(widths) if cells > width][:left]
            return [min(cells, width) + (i in cut) for i, cells in enumerate(widths)]
    return [min(cells, NARROWEST) for cells in widths]


def _cell(text: str, width: int, right: bool) -> str:
    if display_width(text) > width:
        kept = ""
        for character in text:
            if display_width(kept + character) > width - 1:
                break
            kept += character
        text = kept + "…"
    padding = " " * (width - display_width(text))
    return padding + text if right else text + padding
