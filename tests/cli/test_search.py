"""`ti search`."""

from __future__ import annotations

import pytest


def test_finds_names_tags_notes_and_starts_of_words(run, library_with) -> None:
    library_with("mug", tags=("kitchen",), notes="a chip at the rim")
    library_with("cat", notes="grey fur")
    assert run("search", "kitch", "-q").lines == ["mug"]
    assert run("search", "chip", "rim", "-q").lines == ["mug"]
    assert run("search", "chip", "fur", "-q").lines == []
    assert run("search", "cat", "--json").json[0]["name"] == "cat"


def test_output_is_that_of_list(run, library_with) -> None:
    library_with("mug")
    assert run("search", "mug").out == run("list").out
    assert run("search", "mug", "--json").json == run("list", "--json").json


def test_nothing_found_is_no_failure(run, library_with) -> None:
    library_with("mug")
    assert (run("search", "x").code, run("search", "x").out) == (0, "")
    assert run("search", "x", "--json").json == []
    assert "ti list" in run("search", "x", tty=True).err


def test_limit(run, library_with) -> None:
    library_with("mug", "mugs")
    assert len(run("search", "mug", "--limit", "1", "-q").lines) == 1


def test_filters_hold_beside_the_words(run, library_with) -> None:
    library_with("mug", notes="a chip", tags=("a",))
    library_with("cup", notes="a chip", kind="style", created="2026-02-01T00:00:00Z")
    assert run("search", "chip", "-q", "--tag", "a").lines == ["mug"]
    assert run("search", "chip", "-q", "--kind", "style").lines == ["cup"]
    assert run("search", "chip", "-q", "--base", "sdxl").lines == []
    assert run("search", "chip", "-q", "--since", "2026-01-15").lines == ["cup"]


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE concepts;--", 'a" OR name:*', "NEAR(a b)", "*", '"', "{}", "%s", "a-b"]
)
def test_operators_are_plain_text(run, library_with, text: str) -> None:
    library_with("mug", notes="plain")
    result = run("search", "--", text)
    assert (result.code, result.out) == (0, "")
    assert run("list", "-q").lines == ["mug"]
