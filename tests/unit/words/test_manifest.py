"""Manifests of words: three forms of one thing, and every mistake named with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ticli.errors import BadContent, NotFound, Usage
from ticli.manifest import Entry, pairs, parse_manifest, read_manifest
from ticli.recipe import Recipe

YAML = """\
# two words
- token: <Mug>
  photos: photos/mug
  init: cup
  steps: 040
  lr: 5e-3
- token: haze
  photos: [a.png, /far/b.png]
  kind: style
  seed: 7
  flip: no
  sentences:
    - a painting in the style of {}
"""
TSV = (
    "token\tphotos\tinit\tsteps\tkind\tseed\n"
    "<Mug>\tphotos/mug\tcup\t40\t\t\nhaze\ta.png\t\t\tstyle\t7\n"
)
LINES = """\
{"token": "<Mug>", "photos": "photos/mug", "init": "cup", "steps": 40, "lr": 5e-3}

{"token": "haze", "photos": ["a.png", "/far/b.png"], "kind": "style", "seed": 7, "flip": false}
"""
HERE = Path("lists")


def parse(text: str, suffix: str = "") -> list[Entry]:
    return parse_manifest(text, "words", HERE, suffix)


def recipe(entry: Entry, **flags) -> Recipe:
    return entry.settle("default", Recipe(), flags)


@pytest.mark.parametrize(
    ("text", "suffix"), [(YAML, ".yaml"), (YAML, ""), (LINES, ".jsonl"), (LINES, "")]
)
def test_yaml_and_json_lines_say_the_same(text, suffix):
    mug, haze = parse(text, suffix)
    assert (mug.token, mug.photos, mug.seed) == ("<Mug>", ("lists/photos/mug",), None)
    assert (haze.token, haze.photos, haze.seed) == ("<haze>", ("lists/a.png", "/far/b.png"), 7)
    assert recipe(mug).init == "cup" and recipe(mug).steps == 40 and recipe(mug).lr == 0.005
    assert recipe(haze).kind == "style" and recipe(haze).flip is False


def test_yaml_may_give_sentences():
    assert recipe(parse(YAML)[1]).sentences == ("a painting in the style of {}",)


@pytest.mark.parametrize("suffix", [".tsv", ""])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tab_separated_values(suffix, newline, tmp_path):
    file = tmp_path / f"words{suffix or '.list'}"
    file.write_bytes(TSV.replace("\n", newline).encode("utf-8-sig"))
    mug, haze = read_manifest(str(file), None)
    assert mug.photos == (str(tmp_path / "photos/mug"),) and haze.seed == 7
    assert dict(mug.knobs) == {"init": "cup", "steps": "40"}
    assert dict(haze.knobs) == {"kind": "style"}
    assert mug.where == f"{file}, line 2"


def test_stdin_is_relative_to_the_current_folder():
    (entry,) = read_manifest("-", b"token\tphotos\nmug\tphotos/mug\n")
    assert entry.photos == ("photos/mug",) and entry.where == "stdin, line 2"


def test_home_is_known_though_no_shell_saw_it(isolated):
    (entry,) = pairs(["mug=~/photos"])
    assert entry.photos == (str(isolated.parent / "photos"),)
    assert pairs(["mug=~nobody-of-that-name/p"])[0].photos == ("~nobody-of-that-name/p",)


def test_pairs_are_cut_at_the_first_sign():
    mug, cup = pairs(["<Mug>=a=b", "cup=photos/cup"])
    assert (mug.token, mug.photos) == ("<Mug>", ("a=b",)) and cup.photos == ("photos/cup",)


def test_what_is_nearest_to_the_word_counts():
    own = Entry("mug", ("p",), "words", {"steps": "9"}, recipe="quick")
    quick = own.settle("default", Recipe(steps=77, batch=7), {"lr": 0.5, "steps": 8})
    assert (quick.steps, quick.lr) == (9, 0.5) and quick.batch != 7
    plain = Entry("mug", ("p",), "words", {}).settle("x", Recipe(steps=77), {"lr": 0.5})
    assert (plain.steps, plain.lr) == (77, 0.5)


def test_a_recipe_file_lies_beside_the_manifest(tmp_path):
    (tmp_path / "mine.yaml").write_text("steps: 12\n")
    file = tmp_path / "words.jsonl"
    file.write_text(json.dumps({"token": "mug", "photos": "p", "recipe": "mine.yaml"}))
    (entry,) = read_manifest(str(file), None)
    assert recipe(entry).steps == 12
    lost = Entry("mug", ("p",), "words, line 3", {}, recipe="no-such")
    with pytest.raises(NotFound, match="words, line 3: no recipe named 'no-such'"):
        recipe(lost)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- token: mug\n", "concept 1: there is no photos"),
        ("- photos: p\n", "concept 1: there is no token"),
        ("- token: a b\n  photos: p\n", "concept 1: 'a b' cannot be a token"),
        ("- token: mug\n  photos: p\n  step: 3\n", "concept 1: a concept has no 'step'"),
        (
            "- token: mug\n  photos: p\n  model: x\n",
            "concept 1: model is the same for all concepts",
        ),
        (
            "- token: mug\n  photos: p\n- token: Mug\n  photos: q\n",
            "'<Mug>' is already named in words, concept",
        ),
        ("- token: mug\n  photos: '-'\n", "not read from stdin"),
        ("- token: mug\n  photos: [p, {a: b}]\n", "a path or a list of paths"),
        ("- token: mug\n  photos: []\n", "a path or a list of paths"),
        ("- token: mug\n  photos: p\n  seed: x\n", "seed must be a whole number, not 'x'"),
        ("- token: [mug]\n  photos: p\n", "token must be one value"),
        ("token\tphotos\nmug\tp\tmore\n", "line 2: 3 cells in 2 columns"),
    ],
)
def test_a_word_that_cannot_be_learned_so_is_named(text, message):
    with pytest.raises(Usage, match="words") as caught:
        parse(text)
    assert message in caught.value.message


def test_a_near_miss_is_guessed():
    with pytest.raises(Usage) as caught:
        parse("- token: mug\n  photos: p\n  step: 3\n")
    assert caught.value.hint == "did you mean 'steps' or 'stop'?"


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("", ""),
        ("token\tphotos\n", ""),
        ("mug: photos/mug\n", ".yaml"),
        ("- mug\n", ".yaml"),
        ("- &a {token: mug}\n- *a\n", ".yaml"),
        ("token\tinit\nmug\tcup\n", ".tsv"),
        ("token\tphotos\tphotos\nmug\tp\tq\n", ".tsv"),
        ("{not json\n", ".jsonl"),
        ("[1]\n", ".jsonl"),
        ('{"token": "mug", "token": "cup", "photos": "p"}\n', ".jsonl"),
        ("[" * 100_000, ".jsonl"),
    ],
)
def test_what_is_no_manifest_is_refused(text, suffix):
    with pytest.raises(BadContent, match="words"):
        parse(text, suffix)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(NotFound):
        read_manifest(str(tmp_path / "none.tsv"), None)
    with pytest.raises(BadContent, match="cannot be read"):
        read_manifest(str(tmp_path), None)
    (tmp_path / "latin.tsv").write_bytes(b"token\tphotos\nmug\tcaf\xe9\n")
    with pytest.raises(BadContent, match="not UTF-8"):
        read_manifest(str(tmp_path / "latin.tsv"), None)


def test_a_value_that_is_wrong_is_named_with_its_place():
    for text, message in (
        ("steps: many", "words, concept 1: steps must be a whole number, not 'many'"),
        ("steps: 0", "words, concept 1: steps must be at least 1, not 0"),
        ("kind: animal", "words, concept 1: kind cannot be 'animal'"),
        ("steps: [1]", "words, concept 1: steps must be one value"),
    ):
        (entry,) = parse(f"- token: mug\n  photos: p\n  {text}\n")
        with pytest.raises(Usage) as caught:
            recipe(entry)
        assert caught.value.message.startswith(message)
