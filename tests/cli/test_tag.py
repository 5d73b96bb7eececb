"""`ti tag`."""

from __future__ import annotations


def test_tags_are_printed_one_a_line(run, library_with) -> None:
    library_with("mug", tags=("kitchen", "blue"))
    result = run("tag", "mug")
    assert (result.code, result.out, result.err) == (0, "kitchen\nblue\n", "")


def test_both_flags_repeat_and_tags_stand_once(run, library_with) -> None:
    library_with("mug", tags=("a", "b"))
    result = run("tag", "mug", "--add", "c", "--remove", "a", "--add", "b", "--add", "d")
    assert result.lines == ["b", "c", "d"]
    assert run("list", "-q", "--tag", "d").lines == ["mug"]


def test_notes_are_set_and_cleared(run, library_with) -> None:
    library_with("mug")
    assert run("tag", "mug", "--note", "a chip", "--json").json == {
        "name": "mug",
        "tags": [],
        "notes": "a chip",
    }
    assert run("tag", "mug", "-v").err.strip() == "notes: a chip"
    assert run("tag", "mug", "--note", "", "--json").json["notes"] == ""


def test_a_tag_is_one_printable_word_or_phrase(run, library_with) -> None:
    library_with("mug")
    for bad in ("", "  ", "a\nb", "\x1b[2J"):
        assert run("tag", "mug", "--add", bad).code == 2, bad
    assert run("tag", "mug").out == ""


def test_unknown_concept(run) -> None:
    assert run("tag", "mug", "--add", "a").code == 3
