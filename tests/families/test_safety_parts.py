"""Watermarks and safety checkers of a model: neither silently dropped nor required."""

from __future__ import annotations

import numpy as np
import torch
from tiny_families import load

from ticli.families.family import Conditioning
from ticli.generation import Drawing, paint, start_noise


class Stamp:
    """A watermark that anybody can see: the upper half turned white."""

    def apply_watermark(self, pictures: torch.Tensor) -> torch.Tensor:
        stamped = pictures.clone()
        stamped[:, :, : pictures.shape[2] // 2] = 1
        return stamped


def test_a_watermark_of_the_pipeline_is_put_on_pictures(family_folders):
    model = load(family_folders["sdxl"])
    encoded = [model.tokenise(text, {}) for text in ("", "a mug")]
    with torch.no_grad():
        pair: Conditioning = model.condition(encoded, {})
    painted, drawing = [], Drawing("ddim", 2, 5.0, 64, 64)
    for stamp in (None, Stamp()):
        with model.pipeline(model.noise_schedule) as pipeline:
            pipeline.watermark = stamp
            noise = start_noise(model, pipeline, drawing, torch.Generator().manual_seed(0))
            painted.append(paint(model, pipeline, pair, noise, drawing))
    plain, stamped = painted
    assert np.all(stamped[:, :32] == 1) and not np.all(plain[:, :32] == 1)
    assert np.array_equal(plain[:, 32:], stamped[:, 32:])


def test_what_a_model_brings_is_told_and_not_needed(run, family_folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = family_folders["sd1"]
    # Its index names a safety checker; the folder has none, as in many downloads.
    assert not (folder / "safety_checker").exists()
    shown = run("models", "show", str(folder), "--json").json
    assert shown["safety_checker"] and any("safety checker" in note for note in shown["notes"])
    drawn = run("generate", "a mug", "-m", str(folder), "--size", "64", "--steps", "1")
    assert drawn.code == 0, drawn.err
    shown = run("models", "show", str(family_folders["sdxl"]), "--json").json
    assert not shown["safety_checker"]
    assert any("invisible-watermark" in note for note in shown["notes"])
