"""Text of users and files made harmless for a terminal: nothing in it moves, hides or colours."""

from __future__ import annotations

# Letters and symbols that draw nothing, though Unicode does not class them as format characters.
FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
# Controls, format characters (bidi, zero-width, tags), surrogates, unassigned, line separators.
HIDDEN = frozenset(("Cc", "Cf", "Cs", "Cn", "Zl", "Zp"))
COMBINING = frozenset(("Mn", "Me"))
# Written languages stack two or three marks on a letter; hundreds cover the lines above.
MOST_MARKS = 4


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
            pieces.append(_escape(character))
        else:
            pieces.append(character)
    return "".join(pieces)


def shorten(text: str, limit: int) -> str:
    """Return `text` of at most `limit` characters, an ellipsis in place of its middle."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def _escape(character: str) -> str:
    number = ord(character)
    if character in SHORT:
        return SHORT[character]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
