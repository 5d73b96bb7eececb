"""The parts of the quality benchmark that decide: its ledger, its statistics, its table."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image, ImageOps

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bench():
    """The benchmark's modules, which lie outside the package."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import intervals
        import ledger
        import protocol
        import quality
        import quality_report
        import runs_of
        import subject
    finally:
        sys.path.pop(0)
    return SimpleNamespace(
        Ledger=ledger.Ledger,
        PhotoSet=protocol.PhotoSet,
        intervals=intervals,
        quality=quality,
        report=quality_report,
        subject=subject,
        Waits=runs_of.Waits,
    )


def test_the_ledger_remembers_and_takes_the_later_row(bench, tmp_path) -> None:
    path = tmp_path / "ledger.jsonl"
    first = bench.Ledger(path)
    first.add("scored", "a", {"value": 1})
    first.add("class", "a", {"value": 2})
    first.add("scored", "a", {"value": 3})
    again = bench.Ledger(path)
    assert again.get("scored", "a")["value"] == 3
    assert [row["value"] for row in again.rows("class")] == [2]
    assert again.get("scored", "b") is None
    assert len(path.read_text().splitlines()) == 3


def test_a_row_that_was_cut_short_is_work_not_done(bench, tmp_path) -> None:
    path = tmp_path / "ledger.jsonl"
    bench.Ledger(path).add("scored", "a", {"value": 1})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind": "scored", "id": "b", "va')
    torn = bench.Ledger(path)
    assert torn.get("scored", "b") is None
    assert path.read_bytes() == whole
    torn.add("scored", "c", {"value": 2})
    assert bench.Ledger(path).get("scored", "c")["value"] == 2


def test_differences_are_paired_over_sets_and_seeds(bench) -> None:
    one = {("mug", 0): 0.5, ("mug", 1): 0.7, ("owl", 0): 0.3, ("cup", 0): 0.9}
    other = {("mug", 0): 0.4, ("mug", 1): 0.4, ("owl", 0): 0.3, ("pot", 0): 0.0}
    found = bench.intervals.difference(one, other)
    # mug: the mean of 0.1 and 0.3; owl: 0. Nothing else is in both.
    assert found.mean == pytest.approx(0.1)
    assert (found.low, found.high) == (pytest.approx(0.0), pytest.approx(0.2))
    assert bench.intervals.difference(one, {}) is None
    alone = bench.intervals.difference({("mug", 0): 0.5}, other)
    assert (alone.mean, alone.low, alone.verdict) == (pytest.approx(0.1), None, "open")
    assert (found.sets, alone.sets) == (2, 1)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.1, "better"), (-0.01, 0.1, "equal"), (-0.05, 0.1, "open"), (-0.2, -0.03, "worse"),
     (-0.019, -0.001, "equal")],
)  # fmt: skip
def test_what_may_be_said_of_a_difference(bench, low, high, verdict) -> None:
    assert bench.intervals.Interval(0.0, low, high, 5).verdict == verdict
    # Of four sets nothing may be said.
    assert bench.intervals.Interval(0.0, low, high, 4).verdict == "open"


def test_the_way_gone_is_a_ratio_of_sums(bench) -> None:
    sets = [(0.5, 0.4, 0.5), (0.1, 0.0, 1.0)]
    found = bench.intervals.way_gone(sets)
    assert found.mean == pytest.approx(0.2 / 1.1)
    assert found.low == pytest.approx(0.1)
    assert found.high == pytest.approx(1.0)


def test_intervals_are_the_same_every_time_and_narrow_with_more_sets(bench) -> None:
    few = bench.intervals.over_sets([0.0, 0.1, 0.2])
    many = bench.intervals.over_sets([0.0, 0.1, 0.2] * 10)
    assert few == bench.intervals.over_sets([0.0, 0.1, 0.2])
    assert many.high - many.low < few.high - few.low


def test_a_subject_stands_on_one_grey_and_its_mask_has_the_shape_of_its_photo(bench) -> None:
    folder = ROOT / "examples" / "mug"
    cut = bench.subject.subjects(bench.PhotoSet("mug", folder, "object", "mug"), 128, 230)
    for number, picture in enumerate(cut, 1):
        assert picture.getpixel((0, 0)) == picture.getpixel((127, 127)) == (230, 230, 230)
        path = ROOT / "benchmarks" / "masks" / "mug" / f"mug-{number}.mask.png"
        with Image.open(path) as mask, Image.open(folder / f"mug-{number}.jpg") as photo:
            assert mask.size == ImageOps.exif_transpose(photo).size
    # The mug itself is left.
    assert len(cut) == 5 and cut[4].getpixel((64, 60)) != (230, 230, 230)


def test_what_is_done_first_can_be_compared(bench, tmp_path) -> None:
    sets = [SimpleNamespace(name="mug"), SimpleNamespace(name="owl")]
    tasks = list(bench.quality.tasks_of(sets, ["a", "b"], [0, 1], False))
    assert [task.key for task in tasks[:4]] == ["mug/a/0", "mug/b/0", "owl/a/0", "owl/b/0"]
    assert len(tasks) == 8


def test_the_recipes_file_holds_recipes(bench) -> None:
    """Every knob there is one of ti's, with a value it takes."""
    import yaml

    from ticli.recipe import PRESETS, Recipe

    recipes = yaml.safe_load((ROOT / "benchmarks" / "recipes.yaml").read_text())
    for name, told in recipes.items():
        if told.get("engine") == "script":
            assert told.get("seconds_of", "default") in recipes, name
        elif "preset" in told:
            assert told["preset"] in PRESETS
        else:
            texts = {knob: str(value) for knob, value in told["knobs"].items()}
            # `plain` is what the others differ from.
            assert (Recipe().with_texts(texts, name) == Recipe()) == (name == "plain"), name


def test_the_table_shows_figures_beside_their_references(bench, tmp_path) -> None:
    protocol = {
        "id": "p", "encoder": "e", "model": "m", "counts": {"plain": 2, "scene": 1},
        "prompts": {"plain": "a photo of a {}", "scenes": ["x"]}, "placeholder": "class word",
        "drawn": {"steps": 2, "sampler": "ddim", "guidance": 4.0},
    }  # fmt: skip
    ledger = bench.Ledger(tmp_path / "ledger.jsonl")
    for name, start in (("mug", 0.1), ("owl", 0.2)):
        figures = {"image": start, "scene_accuracy": 1.0, "text": 0.6}
        photos = {"image": 0.5, "copied": 0.4}
        ledger.add("class", f"{name}@p", {
            "set": name, "class": figures, "photos": photos, "protocol": protocol,
        })  # fmt: skip
        for recipe, gain in (("default", 0.1), ("paper", 0.2)):
            word = {"image": start + gain, "obedience": 1 - gain, "obedience_bare": 1.0,
                    "scene_accuracy": 0.5, "copied": 0.0, "text": 0.3}  # fmt: skip
            run = {"set": name, "recipe": recipe, "seed": 0, "without": None}
            ledger.add("scored", f"{name}/{recipe}/0@p", {**run, "protocol": "p", "word": word})
            outcome = {"stopped": "settled" if name == "mug" else "steps"}
            ledger.add("trained", f"{name}/{recipe}/0", {
                **run, "steps": 100, "wall": 30.0, "outcome": outcome,
            })  # fmt: skip
    left_out = {"set": "mug", "recipe": "paper", "seed": 0, "without": 1, "left_out": 0.26}
    ledger.add("scored", "mug/paper/0/without-1@p", {**left_out, "protocol": "p"})
    # A second seed of one set weighs no more than the one seed of the other.
    again = {"set": "mug", "recipe": "paper", "seed": 1, "without": None, "protocol": "p"}
    word = {"image": 0.5, "obedience": 0.8, "obedience_bare": 0.7, "scene_accuracy": 0.5,
            "copied": 0.0, "text": 0.3}  # fmt: skip
    ledger.add("scored", "mug/paper/1@p", {**again, "word": word})
    ledger.add("trained", "mug/paper/1", {
        **again, "steps": 100, "wall": 30.0, "outcome": {"stopped": "steps"},
    })  # fmt: skip
    ledger.add("failed", "owl/paper/1", {"set": "owl", "why": "failed with exit code 6"})
    # Another protocol's figures stay out of it.
    ledger.add("scored", "mug/paper/0@q", {**left_out, "without": None, "protocol": "q"})
    bench.report.write_report(
        tmp_path, ledger, ["p"], (["default", "paper"], ["mug", "owl"], "default")
    )
    text = (tmp_path / "table.md").read_text()
    assert "Photos among themselves: image 0.500, copied 0.400" in text
    lines = {}
    for line in text.splitlines():
        lines.setdefault(line.split(" | ")[0].strip("| "), line.split(" | "))
    paper = dict(zip(bench.report.HEADINGS, lines["paper"], strict=True))
    # mug: the mean of 0.3 and 0.5; owl: 0.4.
    assert (paper["image"], paper["sets"], paper["runs"]) == ("0.400", "2", "3 of 4")
    # mug: the mean of 1.0 and 0.7; owl: 1.0.
    assert paper["bare"] == "0.925"
    # (0.26 − 0.1) / (0.5 − 0.1)
    assert paper["left out"] == "0.260, way 0.40"
    # (0.4 + 0.4 − 0.3) / (1.0 − 0.3)
    assert paper["way gone"].startswith("0.71 [")
    assert paper["settled"] == "33%"
    # What both have: two sets, of which nothing may be said.
    assert paper["image − baseline"] == "+0.100 [+0.100, +0.100] open"
    assert paper["obedience − baseline"].startswith("-0.100 [-0.100, -0.100] open")
    # owl tunes, mug alone judges.
    alone = text.partition("screened on alone: mug.")[2].splitlines()
    (line,) = [line for line in alone if line.startswith("| paper |")]
    assert dict(zip(bench.report.HEADINGS, line.split(" | "), strict=True))["image"] == "0.400"
    assert (tmp_path / "tradeoff.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((tmp_path / "ledger.jsonl").read_text().splitlines()[0])["set"] == "mug"


def test_a_longer_run_takes_its_steps_from_the_finished_one(bench, tmp_path) -> None:
    ledger = bench.Ledger(tmp_path / "ledger.jsonl")
    ledger.add("trained", "mug/default/1", {"steps": 70})
    recipes = {"longer": {"preset": "default", "longer_than": "default", "times": 3}}
    work = bench.quality.Work(tmp_path, ledger, "starter", recipes, deadline=0.0)
    mug = bench.PhotoSet("mug", tmp_path, "object", "mug")
    command = bench.quality.command_of(work, bench.quality.Task(mug, "longer", 1), tmp_path)
    told = dict(pairwise(command))
    assert told["--steps"] == "210" and told["--stop"] == "never" and told["--recipe"] == "default"
    with pytest.raises(bench.Waits, match="no finished run mug/default/2"):
        bench.quality.command_of(work, bench.quality.Task(mug, "longer", 2), tmp_path)
