"""`ti show`."""

from __future__ import annotations

import json
from pathlib import Path

from ticli.concept import Curves, PhotoRecord


def test_every_field_stands_on_a_line_of_its_own(run, library_with) -> None:
    library_with("mug", tags=("a", "b"), notes="two\nlines")
    fields = dict(line.split("\t") for line in run("show", "mug").lines)
    assert fields["token"] == "<mug>"
    assert fields["tags"] == "a; b"
    assert fields["notes"] == "two\\nlines"
    assert fields["recipe"] == "lr 0.001, steps 160"
    assert "starter" in fields["base"]


def test_a_terminal_leaves_out_what_is_unknown(run, library_with) -> None:
    library_with("mug")
    keys = [line.split()[0] for line in run("show", "mug", "--no-color", tty=True).lines]
    assert "created" in keys
    assert "notes" not in keys


def test_a_terminal_is_not_filled_by_one_value(run, library_with) -> None:
    photos = tuple(PhotoRecord(f"{number}.jpg", f"{number:064}") for number in range(3))
    curves = Curves((10, 20), (0.5, 0.25), (0.0, 0.125))
    library_with("mug", notes="n" * 1_000_000, photos=photos, curves=curves)
    lines = run("show", "mug", "--no-color", tty=True).lines
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert shown["notes"].endswith("n… (1,000,000 characters: ti show mug --field notes)")
    assert len(shown["notes"]) < 1000
    assert shown["photos"] == "0.jpg; 1.jpg; 2.jpg"
    assert shown["curves"] == "2 evaluations"
    assert run("show", "mug", "--field", "notes").out == "n" * 1_000_000 + "\n"
    piped = dict(line.split("\t") for line in run("show", "mug").lines)
    assert len(piped["notes"]) == 1_000_000 and "held_out 0.5; 0.25" in piped["curves"]


def test_mug_may_be_named_in_three_ways(run, library_with) -> None:
    library_with("mug")
    assert {run("show", name, "-q").out for name in ("mug", "Mug", "<MUG>")} == {"mug\n"}


def test_json_is_the_object_of_list(run, library_with) -> None:
    library_with("mug")
    assert [run("show", "mug", "--json").json] == run("list", "--json").json


def test_one_field_for_the_shell(run, library_with) -> None:
    library_with("mug", tags=("a", "b"), seed=None)
    assert run("show", "mug", "--field", "token").out == "<mug>\n"
    assert Path(run("show", "mug", "--field", "path").out.rstrip("\n")).is_file()
    assert run("show", "mug", "--field", "base.id").out == "starter\n"
    assert run("show", "mug", "--field", "tags").out == "a\nb\n"
    assert run("show", "mug", "--field", "steps").out == "160\n"
    assert run("show", "mug", "--field", "seed").out == ""
    assert json.loads(run("show", "mug", "--field", "widths").out) == {"clip_l": 256}
    assert run("show", "mug", "--field", "tags", "--json").json == ["a", "b"]
    assert run("show", "mug", "--field", "seed", "--json").json is None


def test_an_unknown_field_names_the_known_ones(run, library_with) -> None:
    library_with("mug")
    for field in ("colour", "base.colour", "token.x"):
        result = run("show", "mug", "--field", field)
        assert result.code == 2
        assert field in result.err
    assert "token" in run("show", "mug", "--field", "colour").err


def test_an_unknown_concept_suggests_the_nearest(run, library_with) -> None:
    library_with("mug", "cat")
    result = run("show", "mgu", "--json")
    assert result.code == 3
    error = result.json["error"]
    assert error["code"] == "not_found"
    assert error["nearest"] == ["mug"]
    assert "did you mean 'mug'?" in error["hint"]
    assert result.err.splitlines()[0] == "error: no concept named 'mgu'"


def test_no_library_at_all_is_the_same_error(run) -> None:
    result = run("show", "mug")
    assert (result.code, result.out) == (3, "")
