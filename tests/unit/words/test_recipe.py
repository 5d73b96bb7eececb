"""Recipes: presets, files read by declared type, ranges, and YAML that is refused."""

from __future__ import annotations

import pytest

from ticli.errors import BadContent, NotFound, Usage
from ticli.plain_text import parse_mapping, read_mapping
from ticli.recipe import PRESETS, Recipe, load_recipe


@pytest.mark.parametrize("name", PRESETS)
def test_presets_load(name):
    assert load_recipe(name).steps > 0


def test_the_default_preset_changes_when_a_run_ends_what_it_keeps_and_what_it_holds_apart():
    default, plain = load_recipe("default").as_json(), Recipe().as_json()
    ends = {"steps", "schedule", "cooldown", "stop", "stop_window", "stop_ratio", "keep", "average"}
    assert {name for name in plain if default[name] != plain[name]} == ends | {
        "context",
        "photo_words",
    }
    assert (default["stop"], default["cooldown"]) == ("auto", 0) and default["average"] > 0


@pytest.mark.parametrize(
    ("share", "kind", "own"),
    [
        (-1, "object", 0.8),
        (-1, "person", 0.8),
        (-1, "style", 0),
        (0.3, "style", 0.3),
        (0, "object", 0),
    ],
)
def test_minus_one_gives_photos_of_things_words_of_their_own(share, kind, own):
    assert Recipe(photo_words=share, kind=kind).own_words == own


def test_other_negative_shares_are_refused():
    with pytest.raises(Usage, match=r"photo_words -0\.5 is no share"):
        Recipe(photo_words=-0.5)


def test_values_are_read_by_their_declared_type(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("steps: 010\nlr: 5e-3\nflip: no\nnoun: no\nsentences:\n - a {}\n - the {}\n")
    recipe = load_recipe(str(file))
    assert (recipe.steps, recipe.lr, recipe.flip, recipe.noun) == (10, 0.005, False, "no")
    assert recipe.sentences == ("a {}", "the {}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps: many", "steps"),
        ("step: 3", "no knob"),
        ("steps: [1]", "one value"),
        ("sentences: a {}", "list"),
        ("sentences: [no place]", "{}"),
        ("kind: animal", "kind"),
        ("lr: nan", "finite"),
        ("vectors: 0", "at least 1"),
        ("vectors: 65", "at most 64"),
    ],
)
def test_wrong_values_name_the_knob(tmp_path, text, words):
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(Usage) as caught:
        load_recipe(str(file))
    assert words in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1]\nb: *x",
        "a: !!python/object/apply:os.system [touch marker]",
        "a: !!str 1",
        "a: 1\na: 2",
        "- a\n- b",
        "a: [",
        "? [a]\n: b",
        "[" * 50 + "]" * 50,
        "a: " + "[" * 40 + "]" * 40,
    ],
)
def test_hostile_yaml_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadContent):
        parse_mapping(text, "r.yaml")
    assert not (tmp_path / "marker").exists()


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(NotFound):
        load_recipe("nothing")
    with pytest.raises(NotFound):
        read_mapping(tmp_path / "none.yaml")
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadContent):
        read_mapping(tmp_path / "b")
    (tmp_path / "big").write_bytes(b"#" * (1 << 21))
    with pytest.raises(BadContent, match="1 MiB"):
        read_mapping(tmp_path / "big")
    assert parse_mapping("", "empty") == {}


def test_flags_override_and_none_does_not():
    recipe = Recipe().with_flags(steps=7, lr=None)
    assert recipe.steps == 7 and recipe.lr == Recipe().lr
    assert Recipe(**{**recipe.as_json(), "sentences": ()}) == recipe


@pytest.mark.parametrize("value", [2.5, "80", True, None])
def test_a_value_of_another_type_is_refused(value) -> None:
    with pytest.raises(Usage, match="steps must be a whole number"):
        Recipe(steps=value)


def test_a_whole_number_is_a_rate() -> None:
    assert Recipe(lr=1).lr == 1
