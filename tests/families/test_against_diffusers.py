"""Prompts without a learned word are read and drawn as diffusers' own pipelines do it."""

from __future__ import annotations

import inspect

import diffusers
import numpy as np
import pytest
import torch
from tiny_families import BUILDERS

from ticli.generation import Drawing, paint, start_noise

PROMPT, NEGATIVE = "a photo of a mug, on the moon", "a red cat"
SAMPLER = {"sd3": "euler", "flux": "euler", "sana": "dpm++"}
GUIDANCE, STEPS = 4.0, 2


def their_pipeline(model):
    """The family's pipeline with its text encoders, tokenizers and cleaning in place."""
    family = model.family
    parts = {family.denoiser[0]: model.denoiser}
    for encoder in model.encoders:
        parts |= {
            encoder.part.folder: encoder.module,
            encoder.part.tokenizer: encoder.tokenizer,
        }
    kind = getattr(diffusers, family.pipeline)
    if "safety_checker" in inspect.signature(kind.__init__).parameters:
        parts |= {"safety_checker": None, "feature_extractor": None}
        parts["requires_safety_checker"] = False
    return kind, parts


def theirs(model, pipeline_parts, noise, **changes):
    kind, parts = pipeline_parts
    with model.vae() as vae:
        from ticli.models import make_sampler

        scheduler = make_sampler(SAMPLER.get(model.family.name, "ddim"), model.noise_schedule)
        pipeline = kind(vae=vae, scheduler=scheduler, **parts)
        pipeline.set_progress_bar_config(disable=True)
        wanted = {
            "prompt": PROMPT,
            "negative_prompt": NEGATIVE,
            "latents": noise,
            "guidance_scale": GUIDANCE,
            "num_inference_steps": STEPS,
            "height": 64,
            "width": 64,
            "output_type": "np",
            "use_resolution_binning": False,
            "clean_caption": False,
        }
        known = inspect.signature(kind.__call__).parameters
        wanted = {key: value for key, value in (wanted | changes).items() if key in known}
        return pipeline(**wanted).images


@pytest.mark.parametrize("name", BUILDERS)
def test_a_plain_prompt_is_drawn_as_the_pipeline_draws_it(models, name):
    model = models[name]
    negative = NEGATIVE if model.source.reads_negative else ""
    tokenised = [model.tokenise(negative, {}, negative=True), model.tokenise(PROMPT, {})]
    with torch.no_grad():
        pair = model.condition(tokenised, {})
    drawing = Drawing(SAMPLER.get(name, "ddim"), STEPS, GUIDANCE, 64, 64)
    with model.pipeline(None) as pipeline:
        noise = start_noise(model, pipeline, drawing, torch.Generator().manual_seed(3))
        ours = paint(model, pipeline, pair, noise, drawing)
    changes = {}
    if name == "flux":
        from ticli.families.flux import pack

        changes = {"latents": pack(noise), "negative_prompt": None}
    wanted = theirs(model, their_pipeline(model), noise, **changes)
    assert ours.shape == wanted.shape == (1, 64, 64, 3)
    assert np.abs(ours - wanted).max() < 1e-5
    assert ours.std() > 0.01, "a picture of one colour would prove nothing"


@pytest.mark.parametrize("name", ["pixart", "sana"])
def test_pipelines_that_clean_prompts_are_given_none(models, name):
    """With bs4 and ftfy there, their default cleaning erases <mug>: ours reads no text at all."""
    model = models[name]
    with model.pipeline(None) as pipeline:
        assert pipeline.tokenizer is None and pipeline.text_encoder is None
        asked, drawing = [], Drawing("dpm++", 1, 4.0, 64, 64)
        pipeline._text_preprocessing = lambda *a, **k: asked.append(a)
        pair = model.condition(
            [model.tokenise("", {}, negative=True), model.tokenise("a <mug>", {"mug": 1})],
            {"mug": {model.encoders[0].key: torch.ones(1, model.encoders[0].table.shape[1])}},
        )
        noise = start_noise(model, pipeline, drawing, torch.Generator().manual_seed(3))
        paint(model, pipeline, pair, noise, drawing)
        assert asked == []


def test_what_their_cleaning_would_do_to_a_token(models):
    """The reason why: with bs4 and ftfy installed a pipeline's default loses the word."""
    with models["pixart"].pipeline(None) as pipeline:
        assert pipeline._text_preprocessing("a <mug> here", clean_caption=True) == ["a here"]
    slots = models["pixart"].tokenise("a <mug> here", {"mug": 1})["t5"].slots
    assert [slot.concept for slot in slots] == ["mug"]


def test_several_pictures_of_one_prompt_at_once(models):
    """Each as if painted alone, in every layout of latents."""
    for name in ("sdxl", "flux", "pixart"):
        model = models[name]
        pair = model.condition(
            [model.tokenise("", {}, negative=True), model.tokenise(PROMPT, {})], {}
        )
        drawing = Drawing("euler", 2, 3.0, 64, 32)
        with model.pipeline(None) as pipeline:
            noise = torch.cat(
                [
                    start_noise(model, pipeline, drawing, torch.Generator().manual_seed(n))
                    for n in (1, 2)
                ]
            )
            both = paint(model, pipeline, pair, noise, drawing)
            alone = [paint(model, pipeline, pair, noise[n : n + 1], drawing)[0] for n in (0, 1)]
        assert both.shape == (2, 32, 64, 3)
        assert np.abs(both - np.stack(alone)).max() < 1e-5
