"""Who tells what a model in one file predicts: the flag now, the file, an earlier flag, a trial."""

from __future__ import annotations

from pathlib import Path

import pytest
from judges import build_clip
from PIL import Image
from tiny_single_files import build

from ticli.models import EARLIER, EPSILON, FLAG, TRIED, VELOCITY, Given, remember
from ticli.models.locate import locate

SAYS_NOISE = {"modelspec.prediction_type": "epsilon"}
SMALL = ["--size", "64", "--batch", "1", "--steps", "1", "--init", "mug"]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.new("RGB", (64, 64), (200, 40, 90)).save("photos/one.png")


def told(**given) -> tuple[str, str]:
    single = locate("model.safetensors", **given).single
    return single.prediction, single.told_by


@pytest.mark.parametrize("by", [FLAG, EARLIER, TRIED])
def test_the_file_outranks_what_is_remembered_and_the_flag_outranks_the_file(by, photos):
    build("sd2", Path("model.safetensors"), SAYS_NOISE)
    remember(Path("model.safetensors"), Given(None, VELOCITY, by))
    assert told() == (EPSILON, "its metadata")
    assert told(given=Given(None, VELOCITY, FLAG)) == (VELOCITY, "--prediction")
    assert told(given=Given(Path("photos"))) == (EPSILON, "its metadata")


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
@pytest.mark.parametrize(("by", "later"), [(FLAG, EARLIER), (EARLIER, EARLIER), (TRIED, TRIED)])
def test_what_is_remembered_outranks_the_family(by, later, family, photos):
    build(family, Path("model.safetensors"))
    remember(Path("model.safetensors"), Given(None, VELOCITY, by))
    assert told() == (VELOCITY, later)
    assert told(given=Given(None, EPSILON, FLAG)) == (EPSILON, "--prediction")


def test_a_flag_against_the_metadata_is_of_its_command_alone(photos, run):
    build("sd2", Path("model.safetensors"), SAYS_NOISE)
    words = ["invert", "photos", "--token", "<mug>", "-m", "model.safetensors", *SMALL]
    learned = run(*words, "--prediction", "v")
    assert learned.code == 0, learned.err
    assert "the file says that it predicts the noise" in learned.err
    shown = run("models", "show", "model.safetensors", "--json").json
    assert shown["prediction"] == EPSILON
    assert "it predicts the noise, as its metadata says" in shown["notes"]
    agreed = run("generate", "a <mug>", "--prediction", "epsilon", "--size", "64", "--steps", "1")
    assert agreed.code == 0 and "the file says" not in agreed.err


def test_models_show_tells_of_a_flag_that_was_given_earlier(photos, run):
    build("sd2", Path("model.safetensors"))
    words = ["invert", "photos", "--token", "<mug>", "-m", "model.safetensors", *SMALL]
    assert run(*words, "--prediction", "v").code == 0
    shown = run("models", "show", "model.safetensors", "--json").json
    assert shown["prediction"] == VELOCITY
    assert "it predicts the velocity, as an earlier --prediction says" in shown["notes"]


def test_a_word_is_scored_with_what_the_hints_advise(photos, run, tmp_path):
    build("sd2", Path("model.safetensors"))
    clip = str(build_clip(tmp_path / "clip"))
    words = ["invert", "photos", "--token", "<mug>", "-m", "model.safetensors", *SMALL]
    assert run(*words, "--prediction", "epsilon").code == 0
    scored = run(
        "score", "mug", "--photos", "photos", "-m", "model.safetensors", "--prediction", "v",
        "--encoder", clip, "--class-word", "mug", "--samples", "1", "--scene-samples", "1",
        "--steps", "1", "--size", "64", "--no-save", "--json",
    )  # fmt: skip
    assert scored.code == 0, scored.err
    planned = run(
        "score", "mug", "--photos", "photos", "-m", "model.safetensors", "--prediction", "v",
        "--encoder", clip, "--class-word", "mug", "--dry-run", "--json",
    )  # fmt: skip
    assert planned.code == 0, planned.err
    # A model that predicts the velocity is one of 768 pixels.
    assert '"width": 768' in planned.out, planned.out
    elsewhere = run("score", "mug", "--photos", "photos", "-m", "starter", "--prediction", "v")
    assert elsewhere.code == 2 and "not a model in one file" in elsewhere.err
    lacking = ["score", "mug", "--photos", "photos", "-m", "model.safetensors"]
    lacking = run(*lacking, "--components", "nowhere")
    assert lacking.code == 3 and "nowhere" in lacking.err
