"""`ti rename`."""

from __future__ import annotations

import numpy as np
from concepts import make_concept, make_embedding


def test_name_and_token_change_together(run, library_with) -> None:
    library = library_with("mug")
    before = library.embedding(library.get("mug")).rows["clip_l"]
    result = run("rename", "mug", "<MyCup>")
    assert (result.code, result.out) == (0, "mycup\n")
    after = library.get("mycup")
    assert after.token == "<MyCup>"
    np.testing.assert_array_equal(library.embedding(after).rows["clip_l"], before)
    assert run("show", "mug").code == 3


def test_json(run, library_with) -> None:
    library_with("mug")
    assert run("rename", "<Mug>", "cup", "--json").json == {
        "old": "mug",
        "new": "cup",
        "token": "<cup>",
    }


def test_a_taken_name_is_a_conflict(run, library_with) -> None:
    library_with("mug", "cat")
    assert run("rename", "mug", "Cat").code == 4
    assert run("list", "-q").lines == ["cat", "mug"]


def test_only_the_case_may_change(run, library_with) -> None:
    library_with("mug")
    assert run("rename", "mug", "<MUG>").code == 0
    assert run("show", "mug", "--field", "token").out == "<MUG>\n"


def test_unknown_and_impossible_names(run, library_with) -> None:
    library_with("mug")
    assert run("rename", "cup", "pot").code == 3
    for name in ("my mug", "../mug", "mug_1", "con", "", "a/b", "é"):
        assert run("rename", "mug", name).code == 2, name
    assert run("list", "-q").lines == ["mug"]


def test_a_word_whose_negative_twin_keeps_its_name_says_so(run, library_with) -> None:
    library = library_with("mug-neg")
    library.add(make_concept("mug", recipe={"negative_vectors": 3}), make_embedding("mug"))
    result = run("rename", "mug", "cup")
    assert (result.code, result.out) == (0, "cup\n")
    assert "`ti rename mug-neg cup-neg`" in result.err
    assert "negative twin" not in run("rename", "cup", "cup").err
