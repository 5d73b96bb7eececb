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


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Scores of a quickly learned <mug> and of its class word, on the same seeds."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import protocol
    finally:
        sys.path.pop(0)
    import torch

    from ticli.concept import Embedding
    from ticli.models.hardware import pick_hardware
    from ticli.models.model import load_model
    from ticli.models.source import starter
    from ticli.photos.cropping import training_picture
    from ticli.photos.finding import find_photos
    from ticli.photos.loading import load_photos

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
    rows = {"mug": {k: torch.from_numpy(v.copy()) for k, v in embedding.rows.items()}}
    photos = [
        training_picture(photo, 128)
        for photo in load_photos(find_photos([str(EXAMPLES)]), 128).photos
    ]
    model = load_model(starter(), pick_hardware("cpu"))
    scorer = protocol.Scorer(model.source.folder / "scorer")
    scenes = protocol.SCENES[:3]
    found = {}
    for name, word, vectors in (("class", "mug", {}), ("word", "<mug> mug", rows)):
        drawn = protocol.draw_word(model, word, vectors, (6, 2), scenes)
        reference = found["class"].text if found else None
        found[name] = protocol.score(scorer, drawn, photos, "mug", scenes, reference)
    return found


def test_the_word_looks_more_like_the_photos_than_its_class_word(scores):
    assert scores["word"].image > scores["class"].image + 0.03
    assert scores["word"].image_in_scenes > scores["class"].image_in_scenes


def test_the_word_obeys_its_prompt(scores):
    assert scores["word"].scene_accuracy >= 0.8
    assert scores["word"].obedience >= 0.4
