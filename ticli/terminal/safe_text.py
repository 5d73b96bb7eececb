"""Text of users and files made harmless for a terminal: nothing in it moves, hides or colours."""

from __future__ import annotations

from datetime import UTC, datetime

# Letters and symbols that draw nothing, though Unicode does not class them as format characters.
FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
# Controls, format characters (bidi, zero-width, tags), surrogates, unassigned, line separators.
HIDDEN = frozenset(("Cc", "Cf", "Cs", "Cn", "Zl", "Zp"))
COMBINING = frozenset(("Mn", "Me"))
# Written languages stack two or three marks on a letter; hundreds cover the lines above.
MOST_MARKS = 4
UNITS = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600), ("min", 60))


def safe_text(text: str) -> str:
    """Return `text` on one line with every control, invisible or unassigned character escaped.

    `\\x1b`, `\\u202e` and `\\U000e0041` stand for what was there; a run of more than four
    combining marks is cut with an ellipsis.
    """
    if text.isascii() and text.isprintable():
        return text
    from unicodedata import category

    pieces: list[str] = []
    marks = 0
    for character in text:
        kind = category(character)
        marks = marks + 1 if kind in COMBINING else 0
        if marks > MOST_MARKS:
            if marks == MOST_MARKS + 1:
                pieces.append("…")
        elif kind in HIDDEN or character in FILLERS:
            pieces.append(character.encode("unicode_escape").decode())
        else:
            pieces.append(character)
    return "".join(pieces)


def shorten(text: str, limit: int) -> str:
    """Return `text` of at most `limit` characters, an ellipsis in place of its middle."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def age(moment: str, now: datetime | None = None) -> str:
    """Return how long ago an ISO 8601 time was, as in "2 days ago"; other text comes back as is."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    # A clock that was set back makes the past look like the future: the time itself is clearer.
    if seconds < -60:
        return moment
    for unit, length in UNITS:
        count = int(seconds // length)
        if count:
            return f"{count} {unit}{'s' if count > 1 and unit != 'min' else ''} ago"
    return "just now"


def byte_text(count: int) -> str:
    """Return a number of bytes as in "7.3 kB" (powers of 1000, as disks and `ls --si` count)."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def clock(seconds: float) -> str:
    """Return a duration as in "1:05" or "2:00:07"."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
