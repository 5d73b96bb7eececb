"""No text of a user or a file can move the cursor, hide, colour or break a line."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from ticli.terminal import shorten
from ticli.terminal.safe_text import safe_text

HOSTILE = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x1b]52;c;aGk=\x07",
    "\x1b]8;;http://x\x1b\\link",
    "\x1bP1;1|\x1b\\",
    "\x9b2J",
    "a\rb",
    "a\x08b",
    "\x7f",
    "a\u202eb",
    "a\u2066b",
    "a\u200bb",
    "a\u200db",
    "\ufeffa",
    "a\u2028b",
    "a\u2029b",
    "\ud800",
    "\U000e0041",
    "\u0378",
    "\u3164",
    "tab\there",
    "line\nbreak",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hidden_characters_become_visible(text: str) -> None:
    shown = safe_text(text)
    assert shown != text
    for character in shown:
        assert unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")


def test_escapes_say_what_was_there() -> None:
    assert safe_text("\x1b[2J\x9b\u202e\U000e0041\t\n") == "\\x1b[2J\\x9b\\u202e\\U000e0041\\t\\n"


@pytest.mark.parametrize(
    "text", ["", "mug", "<mug>", "[mug]", "[/mug]", ":mug:", "café", "杯子", "☕", "e\u0301", " "]
)
def test_ordinary_text_stays(text: str) -> None:
    assert safe_text(text) == text


def test_a_pile_of_marks_is_cut() -> None:
    shown = safe_text("a" + "\u0301" * 1000 + "b")
    assert shown == "a" + "\u0301" * 4 + "…b"


def test_every_character_of_unicode_comes_out_printable_or_as_a_space() -> None:
    shown = {safe_text(chr(number)) for number in range(sys.maxunicode + 1)}
    spaces = {chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) == "Zs"}
    private = {text for text in shown if unicodedata.category(text[0]) == "Co"}
    odd = {text for text in shown - spaces - private if not text.isprintable()}
    assert odd == set()


def test_a_million_letters_are_escaped_in_time() -> None:
    assert len(safe_text("\u202e" * 1_000_000)) == 6_000_000


@pytest.mark.parametrize(("limit", "shown"), [(10, "abcdefghij"), (7, "abcd…ij"), (3, "a…j")])
def test_shorten_keeps_both_ends(limit: int, shown: str) -> None:
    assert shorten("abcdefghij", limit) == shown
    assert len(shorten("x" * 5000, limit)) == limit
