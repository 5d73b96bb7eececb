"""Where no negative prompt is given, its place has what the model's own pipeline puts there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from test_against_diffusers import PROMPT, STEPS, their_pipeline, theirs
from tiny_families import load
from tiny_single_files import build

from ticli.generation import (
    Drawing,
    DrawingJob,
    DrawingRequest,
    Studio,
    draw_preview,
    settle,
    start_noise,
)
from ticli.models.locate import locate
from ticli.scoring import PromptJob, draw_prompts

# Random weights hardly listen to a prompt: guidance makes that little visible.
SIDE, GUIDANCE, SEED = 64, 100.0, 3
WORDS = "a red cat"
DRAWING = Drawing("ddim", STEPS, GUIDANCE, SIDE, SIDE)


@pytest.fixture
def model_saying(family_folders, tmp_path):
    """The tiny SDXL with force_zeros_for_empty_prompt as said in its index, None for not at all."""

    def call(said: bool | None):
        folder = Path(shutil.copytree(family_folders["sdxl"], tmp_path / "model"))
        index = json.loads((folder / "model_index.json").read_text())
        del index["force_zeros_for_empty_prompt"]
        if said is not None:
            index["force_zeros_for_empty_prompt"] = said
        (folder / "model_index.json").write_text(json.dumps(index))
        return load(folder)

    return call


def wanted_picture(model, said, negative) -> np.ndarray:
    kind, parts = their_pipeline(model)
    setting = {} if said is None else {"force_zeros_for_empty_prompt": said}
    with model.pipeline(None) as pipeline:
        noise = start_noise(model, pipeline, DRAWING, torch.Generator().manual_seed(SEED))
    changes = {"negative_prompt": negative, "guidance_scale": GUIDANCE}
    (picture,) = theirs(model, (kind, parts | setting), noise, **changes)
    return (picture * 255).round()


def generated(model, negative) -> np.ndarray:
    studio = Studio(model, {})
    ((picture,),) = studio.draw([DrawingJob(studio.encode(PROMPT, negative), SEED)], DRAWING)
    return np.asarray(picture, np.float32)


def scored(model) -> np.ndarray:
    ((picture,),) = draw_prompts(model, [PromptJob(PROMPT, 1, SEED)], {}, DRAWING)
    return np.asarray(picture, np.float32)


@pytest.mark.parametrize("said", [None, True, False])
def test_sdxl_is_drawn_as_its_pipeline_draws_it(model_saying, said):
    model = model_saying(said)
    without = wanted_picture(model, said, None)
    assert np.abs(generated(model, "") - without).max() <= 1
    assert np.abs(scored(model) - without).max() <= 1
    encoded = wanted_picture(model, said, "")
    zeros = said is not False
    assert (np.abs(encoded - without).max() > 8) == zeros, "nothing would be proven"
    given = generated(model, WORDS)
    assert np.abs(given - wanted_picture(model, said, WORDS)).max() <= 1


def test_a_preview_is_drawn_as_generate_draws(models):
    model = models["sdxl"]
    studio = Studio(model, {})
    drawing = settle(DrawingRequest(), model.source)
    ((picture,),) = studio.draw([DrawingJob(studio.encode(PROMPT), SEED)], drawing)
    assert draw_preview(model, PROMPT, {}, SEED).tobytes() == picture.tobytes()


def test_only_sdxl_takes_zeros(family_folders, tmp_path):
    found = {name: locate(str(family_folders[name])) for name in ("sd1", "sd3", "sdxl", "sana")}
    assert [name for name, source in found.items() if source.zeroed_negative] == ["sdxl"]
    build("sdxl", tmp_path / "alone.safetensors")
    assert locate(str(tmp_path / "alone.safetensors")).zeroed_negative
