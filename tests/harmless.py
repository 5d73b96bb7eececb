"""Text that attacks whoever shows it, and what showing it must not do."""

from __future__ import annotations

import unicodedata

# Escapes, C1, backspace, tab, line ends, bidi, zero width, markup, formats, shells, SQL, all in a
# text that can be the name of a file.
ATTACK = (
    "\x1b[2J\x1b]0;t\x07\x1b]52;c;aGk=\x07\x9b2J\x08\x85\u2028\r\t\n\u202e\u200b\u2066[mug][red]"
    ":smile:{}{0.__class__}%s%n$(touch marker)`touch marker`|touch marker;'\"--"
)
# Closing a tag that is not open ends a printer that reads markup; slashes lead out of folders.
MARKUP = "[/mug] [link=file:///x]y[/link] ../../../x \x1b]8;;file:///x\x1b\\x\x1b]8;;\x1b\\"
# How bytes that are no text arrive in an argument.
NO_TEXT = "caf\udce9"
ATTACKS = {"attack": ATTACK, "markup": MARKUP, "no-text": NO_TEXT}


def assert_harmless(text: str) -> None:
    """Only line ends and tabs remain of all that could move, hide or colour."""
    for character in set(text) - {"\n", "\t"}:
        assert unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp"), ascii(
            character
        )
