"""On the starter, a word learned from the example photos looks like them and obeys its prompt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "mug"
STEPS = 60

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Scores of a quickly learned <mug> and of its class word, on the same seeds."""
    import torch

    from ticli.concept import Embedding
    from ticli.generation import Drawing, place_rows
    from ticli.models import load_image_encoder, load_model, locate_image_encoder, pick_hardware
    from ticli.models.locate import starter
    from ticli.photos import find_photos, load_photos, training_picture
    from ticli.scoring import OBJECTS, Counts, Prompts, Protocol, draw_protocol, measure

    home = tmp_path_factory.mktemp("quality")
    done = subprocess.run(
        [sys.executable, "-m", "ticli", "invert", str(EXAMPLES), "-t", "mug", "--recipe", "quick",
         "--steps", str(STEPS), "--json", "-q"],
        capture_output=True, text=True, env=os.environ | {"TI_HOME": str(home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    from safetensors.numpy import load_file

    embedding = Embedding(load_file(document["path"]))
    photos = tuple(
        training_picture(photo, 128)
        for photo in load_photos(find_photos([str(EXAMPLES)]), 128).photos
    )
    model = load_model(starter(), pick_hardware("cpu"))
    judge = load_image_encoder(locate_image_encoder("starter"), torch.device("cpu"))
    prompts = Prompts(OBJECTS.plain, OBJECTS.scenes[:3], OBJECTS.bare[:3])
    drawn = Drawing("ddim", 20, 4.0, 128, 128)
    protocol = Protocol("starter", "", "starter", "", prompts, Counts(6, 2), drawn)
    reference = draw_protocol(model, "mug", {}, protocol)
    word = draw_protocol(model, "<mug> mug", place_rows({"mug": embedding}), protocol)
    return measure(judge, protocol, photos, word, reference, "mug")


def test_the_word_looks_more_like_the_photos_than_its_class_word(scores):
    assert scores["word"]["image"] > scores["class"]["image"] + 0.03
    assert scores["word"]["image_in_scenes"] > scores["class"]["image_in_scenes"]


def test_the_word_obeys_its_prompt(scores):
    assert scores["word"]["scene_accuracy"] >= 0.8
    assert scores["word"]["obedience"] >= 0.4
