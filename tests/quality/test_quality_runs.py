"""The quality benchmark from photos to its table, on a tiny model and a tiny encoder."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from judges import build_clip
from tiny import WIDTH, build_tiny_model

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "mug"


@pytest.fixture(scope="module")
def bench():
    """The benchmark's modules, which lie outside the package."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import protocol
        import quality
    finally:
        sys.path.pop(0)
    return SimpleNamespace(protocol=protocol, quality=quality)


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> tuple[str, str]:
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("networks")
    return str(build_tiny_model(folder / "model")), str(build_clip(folder / "clip"))


def test_figures_are_those_of_ti_score(bench, networks, library_with) -> None:
    from concepts import make_concept, make_embedding

    from ticli.generation import place_rows
    from ticli.scoring import Counts, draw_protocol, measure, picture_features

    opened = bench.protocol.open_bench(Counts(2, 1), tuning=False, steps=2, names=networks)
    photo_set = bench.protocol.PhotoSet("mug", EXAMPLES, "object", "mug")
    embedding = make_embedding("mug", 1, WIDTH)
    learned = (make_concept("mug", noun="mug", widths={"clip_l": WIDTH}), embedding)
    reference, drawn = bench.protocol.references(opened, photo_set)
    figures, word = bench.protocol.figures_of(opened, photo_set, learned, reference["class"])
    protocol = opened.protocol("object")
    again = draw_protocol(opened.model, "<mug> mug", place_rows({"mug": embedding}), protocol)
    photos = tuple(opened.photos(EXAMPLES))
    expected = measure(opened.judge, protocol, photos, again, drawn, "mug")
    for side, found in (("word", figures), ("class", reference["class"])):
        for key, value in found.items():
            if value is not None and not key.startswith("obedience"):
                assert value == pytest.approx(expected[side][key], abs=1e-4), (side, key)
    one = bench.protocol.likeness_to_one(opened, photo_set, learned, 1)
    features = picture_features(opened.judge, [photos[1]])
    plain = picture_features(opened.judge, word.plain)
    assert one == pytest.approx(float((plain @ features.T).mean()), abs=1e-4)


@pytest.mark.slow
def test_runs_are_done_once_and_scored_again_without_training(
    bench, networks, tmp_path, capfd
) -> None:
    sets = tmp_path / "sets"
    (sets / "mug").mkdir(parents=True)
    for photo in sorted(EXAMPLES.glob("*.jpg"))[:2]:
        shutil.copy(photo, sets / "mug")
    (sets / "concepts.json").write_text('{"mug": {"kind": "object", "word": "mug"}}')
    recipes = tmp_path / "recipes.yaml"
    recipes.write_text(
        "free: {knobs: {norm: free, steps: 2}}\n"
        "wrong: {knobs: {steps: 2}, flags: [--no-such-flag]}\n"
    )
    out = tmp_path / "out"

    def call(*more: str) -> list[dict]:
        model, encoder = networks
        bench.quality.main(
            [str(sets), "--out", str(out), "--mode", "finals", "--seeds", "0", "--baseline",
             "free", "--recipes-file", str(recipes), "-m", model, "--encoder", encoder,
             "--drawing-steps", "2", *more]
        )  # fmt: skip
        return [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]

    few = ("--counts", "2,1")
    rows = call(*few, "--leave-one-out", "--recipes", "free")
    kinds = [(row["kind"], row["id"].split("@")[0]) for row in rows]
    # A run with both photos, and one without each.
    assert kinds == [
        ("trained", "mug/free/0"), ("class", "mug"), ("scored", "mug/free/0"),
        ("trained", "mug/free/0/without-0"), ("scored", "mug/free/0/without-0"),
        ("trained", "mug/free/0/without-1"), ("scored", "mug/free/0/without-1"),
    ]  # fmt: skip
    assert len(rows[3]["document"]["photos"]) == 1
    assert call(*few, "--leave-one-out", "--recipes", "free") == rows
    again = call("--counts", "1,1", "--recipes", "free")[len(rows) :]
    assert [row["kind"] for row in again] == ["class", "scored"]
    assert len(call(*few, "--recipes", "free,wrong")) == len(rows) + 3
    said = capfd.readouterr()
    assert "mug/wrong/0 failed with exit code 2" in said.err
    # Another recipe by the same name is another run; so is another photo, another drawing seed.
    recipes.write_text("free: {knobs: {norm: free, steps: 3}}\n")
    kinds = [row["kind"] for row in call(*few)[len(rows) + 3 :]]
    assert kinds == ["trained", "scored"]
    shutil.copy(sorted(EXAMPLES.glob("*.jpg"))[2], sets / "mug" / "third.jpg")
    kinds = [row["kind"] for row in call(*few)[len(rows) + 5 :]]
    assert kinds == ["trained", "class", "scored"]
    kinds = [row["kind"] for row in call(*few, "--drawing-seeds", "7,8")[len(rows) + 8 :]]
    assert kinds == ["class", "scored"]
    call(*few, "--report-only")
    table = (out / "table.md").read_text()
    assert "| free | 1 | 1 |" in table
    assert "wrong" not in table


def test_no_time_means_no_run(bench, networks, tmp_path, capfd) -> None:
    """A run is begun only while the longest one so far still fits."""
    ledger = SimpleNamespace()
    work = bench.quality.Work(tmp_path, ledger, "starter", {}, deadline=0.0)
    assert bench.quality.run_all(None, work, [None, None]) == 2
    assert capfd.readouterr().err == ""
