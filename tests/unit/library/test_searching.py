"""What words find, and in which order."""

from __future__ import annotations

import pytest

from ticli.concept import PhotoRecord
from ticli.errors import Usage
from ticli.library import MOST_WORDS, Library


@pytest.fixture
def filled(library: Library, make) -> Library:
    library.add(*make("red-mug", notes="Grandma's café cup, naïve Übermut", tags=("two words",)))
    library.add(*make("mug", noun="beaker", init="cup"))
    library.add(*make("smug", notes="青い茶碗 and 👩 with a \N{LATIN SMALL LIGATURE FI}sh"))
    library.add(*make("teapot", photos=(PhotoRecord("IMG_4711.jpg", "ab" * 32),)))
    library.add(*make("my_old-lamp", notes="beside the mug; ß"))
    return library


def found(library: Library, text: str) -> list[str]:
    return [concept.name for concept in library.search(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # A word of the name counts most, the name itself more.
        ("mug", ["mug", "red-mug", "my_old-lamp"]),
        ("<mug>", ["mug", "red-mug", "my_old-lamp"]),
        ("MUG", ["mug", "red-mug", "my_old-lamp"]),
        ("red-mug", ["red-mug"]),
        ("<Red-Mug>", ["red-mug"]),
        ("mug red", ["red-mug"]),
        ("old-lamp", ["my_old-lamp"]),
        ("my old lamp", ["my_old-lamp"]),
        ("lamp old", ["my_old-lamp"]),
        ("beaker", ["mug"]),
        ("two words", ["red-mug"]),
        ("IMG_4711", ["teapot"]),
        ("4711.jpg", ["teapot"]),
        # Accents.
        ("cafe", ["red-mug"]),
        ("CAFÉ", ["red-mug"]),
        ("cafe\N{COMBINING ACUTE ACCENT}", ["red-mug"]),
        ("naive uber", ["red-mug"]),
        # The beginning of a word.
        ("tea", ["teapot"]),
        ("grand", ["red-mug"]),
        # Signs beside words say nothing.
        ("mug !", ["mug", "red-mug", "my_old-lamp"]),
        ("(teapot)", ["teapot"]),
        ("*tea*", ["teapot"]),
        # Parts of a text, where no word begins so.
        ("pot", ["teapot"]),
        ("POT", ["teapot"]),
        ("eapo", ["teapot"]),
        ("bermut", ["red-mug"]),
        ("redmug", ["red-mug"]),
        ("myold", ["my_old-lamp"]),
        ("茶碗", ["smug"]),
        ("青い", ["smug"]),
        ("👩", ["smug"]),
        ("fish", ["smug"]),
        (";", ["my_old-lamp"]),
        ("ss", ["my_old-lamp"]),
        # Nothing.
        ("teapot mug", []),
        ("vase", []),
        ("!", []),
        ("\0", []),
        ("", []),
        (" \t\n", []),
        ("\N{COMBINING ACUTE ACCENT}", []),
        ("_", ["my_old-lamp"]),
        ("%", []),
    ],
)
def test_what_is_found(filled: Library, text: str, expected: list[str]) -> None:
    assert found(filled, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '"', "'", '"mug', 'mug" OR "teapot', "mug OR teapot", "mug NOT red", "NOT mug",
        "name:mug", "{name}: mug", "NEAR(mug red)", "^mug", "+", "mug +", "(mug", "mug)", "-mug",
        "mug*red", "\\", ";--", "'); DROP TABLE words;--", "AND", "OR AND NOT", "?", ":1", "\ufffd",
        "x" * 1_000_000, "mug-" * 1000, '"' * 100_000, "\u0301" * 10_000,
    ],
    ids=lambda text: ascii(text[:20]),
)  # fmt: skip
def test_every_text_is_only_text(filled: Library, text: str) -> None:
    assert "teapot" not in found(filled, text)
    assert len(filled.names()) == 5


def test_as_many_words_as_there_may_be(filled: Library) -> None:
    assert found(filled, "mug " * 5000) == ["mug", "red-mug", "my_old-lamp"]
    assert found(filled, " ".join(f"w{i}" for i in range(MOST_WORDS))) == []
    with pytest.raises(Usage, match="1,001 words"):
        filled.search(" ".join(f"w{i}" for i in range(MOST_WORDS + 1)))


def test_words_without_gaps_are_counted_too(filled: Library) -> None:
    with pytest.raises(Usage, match="100,000 words"):
        filled.search("mug-" * 100_000)


def test_a_change_is_found_at_once(filled: Library) -> None:
    filled.tag("teapot", add=["porcelain"], notes="for two")
    assert found(filled, "porcelain") == found(filled, "for two") == ["teapot"]
    filled.tag("teapot", notes="")
    assert found(filled, "for two") == []
    filled.remove(["teapot"])
    assert found(filled, "porcelain") == found(filled, "pot") == []
