"""Listing, searching and completing."""

from __future__ import annotations

import pytest

from ticli.errors import Usage
from ticli.library import Library, Query, completions


@pytest.fixture
def filled(library: Library, make) -> Library:
    library.add(*make("<Red-Mug>", 3, tags=("kitchen",), notes="Grandma's café cup"))
    library.add(*make("teapot", 1, tags=("kitchen", "tea")))
    library.add(*make("aquarelle", 2, kind="style", init="painting"))
    return library


def names(library: Library, **query) -> list[str]:
    return [concept.name for concept in library.concepts(Query(**query))]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["aquarelle", "red-mug", "teapot"]),
        ({"sort": "name:desc"}, ["teapot", "red-mug", "aquarelle"]),
        ({"sort": "created"}, ["red-mug", "teapot", "aquarelle"]),
        ({"sort": "created:desc"}, ["aquarelle", "teapot", "red-mug"]),
        ({"sort": "size"}, ["teapot", "aquarelle", "red-mug"]),
        ({"sort": "size:desc", "limit": 1}, ["red-mug"]),
        ({"pattern": "*A*"}, ["aquarelle", "teapot"]),
        ({"pattern": "<red*"}, ["red-mug"]),
        ({"pattern": "[!r]e*"}, ["teapot"]),
        ({"pattern": "mug"}, []),
        ({"tags": ("kitchen",)}, ["red-mug", "teapot"]),
        ({"tags": ("kitchen",), "pattern": "t*"}, ["teapot"]),
        ({"tags": ("kit",)}, []),
        ({"base": "SD1"}, ["aquarelle", "red-mug", "teapot"]),
        ({"base": "starter", "limit": 2}, ["aquarelle", "red-mug"]),
        ({"base": "sdxl"}, []),
        ({"limit": 0}, []),
    ],
)
def test_listing(filled: Library, query: dict, expected: list[str]) -> None:
    assert names(filled, **query) == expected


def test_the_order_of_creation_does_not_follow_the_clock(library: Library, make) -> None:
    library.add(*make("first", created="2030-01-01T00:00:00Z"))
    library.add(*make("second", created="2020-01-01T00:00:00Z"))
    assert names(library, sort="created") == ["first", "second"]


def test_what_was_used_last_comes_last(filled: Library) -> None:
    filled.touch(["aquarelle"])
    assert names(filled, sort="used") == ["red-mug", "teapot", "aquarelle"]
    assert names(filled, sort="used:desc")[0] == "aquarelle"


@pytest.mark.parametrize("query", [{"sort": "colour"}, {"sort": "name:up"}, {"limit": -1}])
def test_a_query_that_makes_no_sense_is_refused(filled: Library, query: dict) -> None:
    with pytest.raises(Usage):
        filled.concepts(Query(**query))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("red", ["red-mug"]),
        ("<Red-Mug>", ["red-mug"]),
        ("CAFE", ["red-mug"]),
        ("grand", ["red-mug"]),
        ("kitchen cup", ["red-mug", "teapot"]),
        ("kitchen grandma", ["red-mug"]),
        ("painting", ["aquarelle"]),
        ("front.jpg", ["aquarelle", "red-mug", "teapot"]),
        ("vase", []),
        ("", []),
        (" \t", []),
    ],
)
def test_searching(filled: Library, text: str, expected: list[str]) -> None:
    assert sorted(concept.name for concept in filled.search(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        '"',
        "'",
        "*",
        "red OR teapot",
        "name:red",
        "NEAR(red, mug)",
        "red)",
        "-red",
        "^red",
        "\0",
        "%",
    ],
)
def test_signs_and_operators_have_no_meaning_in_a_search(filled: Library, text: str) -> None:
    assert "teapot" not in [concept.name for concept in filled.search(text)]


def test_a_name_weighs_more_than_a_note(library: Library, make) -> None:
    library.add(*make("bowl", notes="stands beside the mug"))
    library.add(*make("mug"))
    assert [concept.name for concept in library.search("mug")] == ["mug", "bowl"]


def test_completing(filled: Library) -> None:
    database = filled.places.database
    assert completions("concepts", "", database) == ["aquarelle", "red-mug", "teapot"]
    assert completions("tags", "", database) == ["kitchen", "tea"]
    assert completions("recipes", "", database) == []


def test_completing_says_nothing_when_anything_is_wrong(library: Library) -> None:
    database = library.places.database
    assert completions("concepts", "", database) == []
    assert not database.exists() and not database.parent.exists()
    database.parent.mkdir()
    for content in (b"", b"not a database" * 99, b"SQLite format 3\0"):
        database.write_bytes(content)
        assert completions("concepts", "", database) == []
        assert database.read_bytes() == content
    database.unlink()
    database.mkdir()
    assert completions("tags", "", database) == []
