"""A Stable Diffusion 3 in one file does without a T5 that is nowhere, and says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import original_transformers as original
import pytest
from original_layout import joined, save
from PIL import Image
from tiny_families import T5

from ticli.models.locate import locate

SMALL = ["--init", "mug", "--steps", "1", "--batch", "1", "--size", "64"]
DRAW = ["generate", "<thing>", "--no-noun", "--steps", "1", "--size", "64", "--seed", "1"]


@pytest.fixture
def model(tmp_path, family_folders, monkeypatch):
    """A transformer in one file, and a folder of the other parts with and without a T5."""
    from diffusers import SD3Transformer2DModel

    monkeypatch.chdir(tmp_path)
    shutil.copytree(family_folders["sd3"], "full")
    module = SD3Transformer2DModel(
        sample_size=128, patch_size=2, in_channels=16, out_channels=16, num_layers=2,
        attention_head_dim=64, num_attention_heads=1, joint_attention_dim=T5,
        caption_projection_dim=64, pooled_projection_dim=80, pos_embed_max_size=64,
    )  # fmt: skip
    save(Path("model.safetensors"), joined({"model.diffusion_model.": original.sd3(module)}))
    shutil.copytree("full", "without", ignore=shutil.ignore_patterns("*_3"))
    Path("photos").mkdir()
    Image.new("RGB", (64, 64), (200, 40, 90)).save("photos/one.png")


def learn(run, components: str, *extra: str):
    words = ["invert", "photos", "--token", "<thing>", "-m", "model.safetensors"]
    return run(*words, "--components", components, *SMALL, *extra)


def test_what_is_left_out_is_said(model, run):
    planned = learn(run, "without", "--dry-run", "--json")
    assert planned.code == 0, planned.err
    (note,) = [note for note in planned.json["notes"] if "text_encoder_3" in note]
    assert "--components DIR" in note
    shown = run("models", "show", "model.safetensors", "--components", "without", "--json").json
    assert note in shown["notes"] and "t5" not in shown["widths"]
    added = run("models", "add", "short", "model.safetensors", "--components", "without")
    assert "text_encoder_3" in added.err
    shown = run("models", "show", "model.safetensors", "--components", "full", "--json").json
    assert note not in shown["notes"] and "t5" in shown["widths"]


def test_a_word_without_a_t5_is_told_why_it_is_none_of_a_model_with_one(model, run):
    learned = learn(run, "without", "--json")
    assert learned.code == 0 and "text_encoder_3" in learned.err, learned.err
    assert set(learned.json["widths"]) == {"clip_l", "clip_g"}
    drawn = run(*DRAW)
    assert drawn.code == 0 and "text_encoder_3" in drawn.err, drawn.err
    refused = run(*DRAW, "-m", "model.safetensors", "--components", "full", "--json")
    assert refused.code == 4
    error = refused.json["error"]
    assert "learned without the text encoder t5" in error["message"]
    assert "a folder without text_encoder_3" in error["hint"] and "ti invert" in error["hint"]
    # The folder with a T5 may be remembered, and the way out is one all the same.
    added = run("models", "add", "short", "model.safetensors", "--components", "full")
    assert added.code == 0 and run(*DRAW).code == 4
    assert run(*DRAW, "--components", "without").code == 0
    # The other model is a folder, in which nothing can be left out.
    refused = run(*DRAW, "-m", "full", "--json")
    assert refused.code == 4 and "--components" not in refused.json["error"]["hint"]


def test_the_way_out_is_one(model, run):
    assert learn(run, "without").code == 0
    assert learn(run, "full", "--replace").code == 0
    # Now the file has a T5: it is remembered where that lies, and the word is of both.
    assert "t5" in locate("model.safetensors").widths
    refused = run(*DRAW, "-m", "model.safetensors", "--components", "without", "--json")
    assert refused.code == 4
    error = refused.json["error"]
    assert "learned with the text encoder t5" in error["message"]
    assert "give a folder that has it: --components DIR" in error["hint"]
    assert run(*DRAW, "-m", "model.safetensors", "--components", "full").code == 0
