"""`ti merge`."""

from __future__ import annotations

import numpy as np
import pytest


def rows(library, name: str):
    return library.embedding(library.get(name)).rows["clip_l"]


def test_the_weighted_mean_is_stored_with_its_parents(run, library_with) -> None:
    library = library_with("mug", "teapot")
    result = run("merge", "mug:3", "<Teapot>:1", "-t", "<MugPot>", "--raw")
    assert (result.code, result.out) == (0, "mugpot\n")
    expected = 0.75 * rows(library, "mug") + 0.25 * rows(library, "teapot")
    np.testing.assert_allclose(rows(library, "mugpot"), expected, atol=1e-7)


def test_json_is_the_object_of_show(run, library_with) -> None:
    library_with("mug", "teapot")
    merged = run("merge", "mug", "teapot:0.5", "--token", "both", "--json").json
    assert merged == run("show", "both", "--json").json
    assert [(p["name"], p["weight"]) for p in merged["parents"]] == [("mug", None), ("teapot", 0.5)]
    assert merged["recipe"]["method"] == "mean"


@pytest.mark.parametrize("method", ["slerp", "concat"])
def test_other_methods(run, library_with, method: str) -> None:
    library = library_with("mug", "teapot")
    assert run("merge", "mug", "teapot", "-t", "both", "--method", method).code == 0
    assert library.get("both").vectors == (2 if method == "concat" else 1)


def test_a_dry_run_shows_and_stores_nothing(run, library_with) -> None:
    library_with("mug", "teapot")
    result = run("merge", "mug", "teapot", "-t", "both", "-n", "--json")
    assert result.json["name"] == "both"
    assert "nothing was stored" in result.err
    assert run("list", "-q").lines == ["mug", "teapot"]


def test_a_taken_name_needs_replace(run, library_with) -> None:
    library = library_with("mug", "teapot", "both")
    before = rows(library, "both")
    result = run("merge", "mug", "teapot", "-t", "both")
    assert result.code == 4
    assert "--replace" in result.err
    np.testing.assert_array_equal(rows(library, "both"), before)
    assert run("merge", "mug", "teapot", "-t", "both", "--replace").code == 0
    assert not np.array_equal(rows(library, "both"), before)


def test_what_cannot_be_merged(run, library_with) -> None:
    library_with("mug", "teapot")
    library_with("two", vectors=2)
    library_with("wide", width=768)
    wide = run("merge", "mug", "wide", "-t", "x")
    assert wide.code == 4
    assert "'mug'" in wide.err
    assert "'wide'" in wide.err
    unequal = run("merge", "mug", "two", "-t", "x")
    assert unequal.code == 4
    assert "concat" in unequal.err
    assert run("merge", "mug", "nope", "-t", "x").code == 3
    assert run("merge", "mug", "-t", "x").code == 2
    assert run("merge", "mug", "teapot").code == 2
    assert run("merge", "mug:2", "teapot", "-t", "x", "--method", "concat").code == 2
    assert run("merge", "mug", "teapot", "-t", "x", "--method", "sum").code == 2
    assert run("merge", "mug", "teapot", "-t", "a b").code == 2
    assert run("list", "-q").lines == ["mug", "teapot", "two", "wide"]


@pytest.mark.parametrize("part", ["mug:", "mug:x", "mug:nan", "mug:inf", ":1", "mug:-1"])
def test_weights_are_finite_numbers_from_zero(run, library_with, part: str) -> None:
    library_with("mug", "teapot")
    assert run("merge", part, "teapot", "-t", "x").code in (2, 3)
    assert run("list", "-q").lines == ["mug", "teapot"]
