"""A Stable Diffusion 2 in one file has one size, whether what it predicts was told or tried."""

from __future__ import annotations

import json
import signal

import pytest
from PIL import Image
from tiny_single_files import build

# The sizes that go with noise and with velocity are made small: what matters is that they differ.
SIDES, SIDE_OF_VELOCITY = 8, 16


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A file that answers next to nothing, which is nearer to the velocity; and a photo."""
    from ticli.families import stable_diffusion

    monkeypatch.setattr(stable_diffusion, "SIDE", SIDES)
    monkeypatch.setattr(stable_diffusion, "SIDE_OF_VELOCITY", SIDE_OF_VELOCITY)
    monkeypatch.chdir(tmp_path)
    build("sd2", tmp_path / "model.safetensors")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (128, 128), (200, 40, 90)).save(tmp_path / "photos" / "one.png")


LEARN = ["invert", "photos", "--token", "<mug>", "-m", "model.safetensors", "--batch", "1"]
LEARN += ["--init", "mug", "--steps", "2"]


def planned(run) -> tuple[int, list[str]]:
    shown = run(*LEARN, "--dry-run", "--replace", "--json")
    assert shown.code == 0, shown.err
    return shown.json["recipe"]["size"], shown.json["notes"]


def test_the_first_run_has_the_size_of_what_trying_finds(small, run):
    size, notes = planned(run)
    assert size == 8 * SIDES and any("--prediction" in note for note in notes)
    learned = run(*LEARN, "--json")
    assert learned.code == 0, learned.err
    assert "the model predicts velocity (v)" in learned.err
    assert learned.json["recipe"]["size"] == 8 * SIDE_OF_VELOCITY
    size, notes = planned(run)
    assert size == 8 * SIDE_OF_VELOCITY and not any("--prediction" in note for note in notes)


def test_an_interrupted_first_run_is_continued(small):
    from learning_runs import advance, begin

    from ticli.errors import Stopped
    from ticli.inversion import Request, make_plan, open_run, prediction_by_photos
    from ticli.library import Library
    from ticli.models import pick_hardware
    from ticli.paths import places
    from ticli.recipe import Recipe

    hardware, told = pick_hardware("cpu"), []
    request = Request(
        ("photos",), "<mug>", Recipe(init="mug", batch=1, steps=2), "model.safetensors", 0, False,
        True, find_prediction=lambda plan: prediction_by_photos(plan, hardware, told.append),
    )  # fmt: skip
    plan = make_plan(request, Library.open())
    with open_run(places().runs, "mug", plan.identity()) as held, pytest.raises(Stopped):
        list(advance(begin(plan, held, hardware), lambda: signal.SIGINT))
    again = make_plan(request, Library.open())
    assert again.recipe.size == 8 * SIDE_OF_VELOCITY and len(told) == 1
    with open_run(places().runs, "mug", again.identity()) as held:
        assert held.step == 1


def test_the_same_seed_draws_the_same_picture_twice(small, run):
    pictures = []
    for name in ("one.png", "two.png"):
        drawn = run(
            "generate", "a mug", "-m", "model.safetensors", "--steps", "1", "--seed", "1",
            "-o", name,
        )  # fmt: skip
        assert drawn.code == 0, drawn.err
        with Image.open(name) as picture:
            pictures.append((picture.size, picture.tobytes()))
    assert pictures[0] == pictures[1]
    assert pictures[0][0] == (8 * SIDE_OF_VELOCITY, 8 * SIDE_OF_VELOCITY)


@pytest.mark.slow
def test_several_words_of_one_call_have_one_size(small, run):
    learned = run(
        "invert", "--token", "mug=photos", "--token", "cup=photos", "-m", "model.safetensors",
        "--batch", "1", "--init", "mug", "--steps", "1", "--json",
    )  # fmt: skip
    assert learned.code == 0, learned.err
    sizes = [word["recipe"]["size"] for word in json.loads(learned.out)]
    assert sizes == [8 * SIDE_OF_VELOCITY] * 2
    assert learned.err.count("the model predicts") == 1
