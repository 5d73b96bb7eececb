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
    """A heading and how its values stand; numbers stand right.

    `whole` values are cut only where all others have been: names, which people copy.
    """

    heading: str
    right: bool = False
    whole: bool = False


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
        widths = _fit(columns, widths, room)
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


def _fit(columns: Sequence[Column], widths: list[int], room: int) -> list[int]:
    """Narrow the columns until the line fits, those that stay whole last."""
    room -= len(GAP) * (len(widths) - 1)
    widths = _narrow(widths, room, [not column.whole for column in columns])
    return _narrow(widths, room, [True] * len(widths))


def _narrow(widths: list[int], room: int, may: Sequence[bool]) -> list[int]:
    """Narrow the widest that may be, all to the same width, until the sum fits or none is wide."""
    if sum(widths) <= room:
        return widths

    def cut(limit: int) -> list[int]:
        return [min(w, limit) if m else w for w, m in zip(widths, may, strict=True)]

    limit = NARROWEST
    while limit < max(widths) and sum(cut(limit + 1)) <= room:
        limit += 1
    narrowed = cut(limit)
    # What is left over goes to the first of those that were cut.
    for i, width in enumerate(widths):
        if narrowed[i] < width and sum(narrowed) < room:
            narrowed[i] += 1
    return narrowed


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
