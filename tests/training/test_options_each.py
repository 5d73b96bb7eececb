"""Each knob of a recipe changes what it says and nothing else: all a run depends on, compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields

import pytest
import torch
from learning_runs import make_photos, plan_for
from PIL import Image, ImageDraw

from ticli.inversion import (
    Evaluation,
    begin_training,
    draw,
    evaluation_interval,
    gradients,
    is_better,
    last_step,
    learning_rate,
    open_run,
    should_cool_down,
)
from ticli.models import load_model, pick_hardware
from ticli.models.locate import locate
from ticli.paths import places
from ticli.recipe import Recipe

BASE = {
    "steps": 9,
    "batch": 4,
    "init": "mug",
    "context": 0.1,
    "sentences": ("a {}", "the {} there"),
    "average": 1.0,
}
DRAWN = ("photos", "mirrored", "sentences", "timesteps", "spread", "noise")


@pytest.fixture(scope="module")
def model(tiny_folder):
    return load_model(locate(str(tiny_folder)), pick_hardware("cpu"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four photos, of which one has a caption and a mask."""
    folder = make_photos(tmp_path_factory.mktemp("each") / "photos", 4)
    (folder / "photo-1.txt").write_text("the <mug> on a red table")
    with Image.open(folder / "photo-1.png") as picture:
        mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).rectangle((16, 16, 40, 40), fill=200)
    mask.save(folder / "photo-1.mask.png")
    return folder


def facts(learning) -> dict[str, str]:
    """All that a run depends on, by name, each as a digest, and what two steps of it come to."""
    examples, judge, state = learning.examples, learning.judge, learning.state
    recipe, vectors = learning.plan.recipe, state.vectors
    learner = learning.next_learner()
    drawn = [draw(learner.seed, step, learner.rule) for step in range(3)]
    found: dict[str, object] = {name: [getattr(one, name) for one in drawn] for name in DRAWN}
    found |= {
        "own words drawn": [one.private for one in drawn],
        "latents": [examples.latents.mean, examples.latents.spread],
        "texts": examples.sentences,
        "own words": [examples.private, vectors.private],
        "stages": [stage.sentences for stage in examples.earlier],
        "context": [examples.context.prompts, examples.context.wanted],
        "masks": examples.masks,
        "twin": [examples.twin, vectors.negative],
        "start": vectors.start,
        "norm": [vectors.held_norms, vectors.pull_share],
        "rates": [learning_rate(recipe, step) for step in range(recipe.steps)],
        "fall": [learning_rate(recipe, step, 2) for step in range(2, last_step(recipe, 2))],
        "judge's noise": [judge.draw.spread, judge.draw.noise],
        "judge's timesteps": judge.draw.timesteps,
        "judge's texts": [judge.examples.sentences, judge.draw.sentences, judge.examples.twin],
        "judge's own words": [judge.examples.private, judge.draw.private],
        "judge's pictures": [judge.examples.latents.mean, judge.examples.masks],
        "interval": evaluation_interval(recipe),
        "settles": [should_cool_down(CURVE[:n], recipe) for n in range(len(CURVE))],
        "better": is_better(CURVE[-1], CURVE[0], recipe.drift_limit),
    }
    found = {name: digest(value) for name, value in found.items()}
    (loss,) = gradients(learning.model, [learner])
    found |= {"loss": digest(loss), "gradient": digest([row.grad for row in vectors.rows.values()])}
    learning.finish_step(learning.take_step(learner, loss, 0.0))
    (loss,) = gradients(learning.model, [learner])
    learning.finish_step(learning.take_step(learner, loss, 0.0))
    return found | {"moved": digest(vectors.rows), "average": digest(state.averages)}


# It falls, and then moves less and less; the last one drifted.
CURVE = [Evaluation(n, 1.0 / (n + 1), 0.001 * n**2) for n in range(24)]


def digest(value: object) -> str:
    return hashlib.sha256(plain(value).encode()).hexdigest()


def plain(value: object) -> str:
    if isinstance(value, torch.Tensor):
        data = value.detach().contiguous().numpy().tobytes()
        return f"{tuple(value.shape)} {hashlib.sha256(data).hexdigest()}"
    if isinstance(value, Mapping):
        return repr({key: plain(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return repr([plain(item) for item in value])
    return repr(value)


@pytest.fixture(scope="module")
def found(model, photos, tiny_folder):
    """found(knobs): the facts of a run of these knobs that has taken two steps."""
    known: dict[str, dict[str, str]] = {}
    encoded: dict[str, bytes] = {}

    def of(**knobs) -> dict[str, str]:
        if repr(knobs) not in known:
            plan = plan_for(photos, tiny_folder, **{**BASE, **knobs})
            with open_run(places().runs, "mug", plan.identity(), fresh=True) as run:
                # As where a run goes on: the VAE is left alone where it would find the same.
                for name in () if {"size", "hold_out"} & set(knobs) else encoded:
                    (run.path / name).write_bytes(encoded[name])
                known[repr(knobs)] = facts(begin_training(plan, run, model, None))
                if not encoded:
                    encoded.update({p.name: p.read_bytes() for p in run.path.glob("*.safetensors")})
        return known[repr(knobs)]

    return of


MOVED = {"moved", "average"}
STEP = {"loss", "gradient", *MOVED}
TEXTS = {"texts", "judge's texts"}
TIMES = {"timesteps", "judge's timesteps"}
MASKS = {"masks", "judge's pictures"}
# The knob's value and what it changes; then the knobs, if any, that give it something to do.
CASES = {
    "kind": ("style", {"sentences", "context", *TEXTS, *TIMES, *STEP}, {"sentences": ()}),
    "init": ("red", {"start", "context", *TEXTS, *STEP}),
    "init_from": ("output", {"start", *STEP}),
    "noun": ("", {"context", *TEXTS, *STEP}),
    "vectors": (2, {"start", "context", *TEXTS, *STEP}),
    "extend_every": (2, {"stages", *STEP}, {"vectors": 2}),
    "photo_words": (0.5, {"own words", "own words drawn", "judge's own words", *STEP}),
    "negative_vectors": (1, {"twin", "judge's texts", *STEP}),
    "negative_guidance": (5.0, {"twin", "judge's texts", *STEP}, {"negative_vectors": 1}),
    "steps": (12, {"rates", "fall", *MOVED}),
    "lr": (0.02, {"rates", "fall", *MOVED}),
    "batch": (5, {*DRAWN, "interval", *STEP}),
    "accumulate": (2, {*DRAWN, "interval", *STEP}),
    "size": (128, {"spread", "noise", "latents", "judge's noise", "judge's pictures", *STEP}),
    "flip": (False, {"mirrored", *STEP}),
    "schedule": ("linear", {"rates", "fall", *MOVED}),
    "warmup": (3, {"rates", "fall", *MOVED}),
    "clip": (1e-4, MOVED),
    "norm": ("free", {"start", "norm", *STEP}),
    "norm_pull": (0.5, {"norm", *MOVED}, {"norm": "pull"}),
    "prior": (0.5, MOVED, {"norm": "sphere"}),
    "pull": (0.5, MOVED),
    "context": (0.2, {"gradient", *MOVED}),
    "context_set": ("living", {"context", "gradient", *MOVED}),
    "timestep_low": (100, {*TIMES, *STEP}),
    "timestep_high": (900, {*TIMES, *STEP}),
    "timestep_weighting": ("cubic", {"timesteps", *STEP}),
    "min_snr": (0.1, STEP),
    "sentences": (("a red {}", "a {} there", "one {}"), {"sentences", *TEXTS, *STEP}),
    "evaluate_every": (3, {"interval"}),
    "evaluation_timesteps": (
        6, {"judge's noise", "judge's timesteps", "judge's texts", "interval"}
    ),
    "hold_out": ("auto", {*DRAWN, "latents", "judge's pictures", *TEXTS, *STEP}),
    "stop": ("auto", {"settles", "interval"}),
    "stop_window": (5, {"settles"}, {"stop": "auto"}),
    "stop_ratio": (1e-3, {"settles"}, {"stop": "auto"}),
    "cooldown": (4, {"fall"}),
    "average": (2.0, {"average"}),
    "keep": ("best", {"interval"}),
    "drift_limit": (0.9, {"better"}),
    "restores": (1, set()),
    "restarts": (2, {"interval"}),
    "init_candidates": (5, set()),
    "masks": (True, {*MASKS, *STEP}),
    "mask_background": (0.5, {*MASKS, *STEP}, {"masks": True}),
    "mask_temperature": (3.0, {*MASKS, *STEP}, {"masks": True}),
    "captions": (True, {*TEXTS, *STEP}),
    "strict_captions": (True, set(), {"captions": True}),
    "warm_steps": (5, set()),
    "warm_lr": (0.5, set()),
}  # fmt: skip
# It needs a CLIP, and has a file of tests of its own.
ELSEWHERE = {"warm_start"}


def test_every_knob_is_looked_at():
    assert {knob.name for knob in fields(Recipe)} == CASES.keys() | ELSEWHERE


@pytest.mark.parametrize("knob", CASES)
def test_a_knob_changes_what_it_says_and_nothing_else(found, knob):
    value, changed, *rest = CASES[knob]
    around = dict(*rest)
    before, after = found(**around), found(**{**around, knob: value})
    assert {name for name in before if before[name] != after[name]} == changed
