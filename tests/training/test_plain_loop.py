"""A whole run, through its driver, against the same maths written out in a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_runs import learn, make_photos, plan_for

from ticli.inversion import DrawRule, Request, context_distance, draw, keyed_generator, make_plan
from ticli.library import Library
from ticli.names import private_name
from ticli.recipe import load_recipe

STEPS = 8
PLAIN = {"norm": "free", "clip": 0.0, "schedule": "constant", "batch": 4, "lr": 0.05}


def plain_loop(learning, seed: int) -> tuple[list[float], torch.Tensor]:
    """The loss of every step, and the word: the mean over the steps if the recipe keeps one."""
    model, recipe, examples = learning.model, learning.plan.recipe, learning.examples
    norm = model.encoders[0].table.norm(dim=1).median()

    def held(values: torch.Tensor) -> torch.Tensor:
        lengths = values.norm(dim=1, keepdim=True)
        return values * norm / lengths if recipe.norm == "vocabulary" else values

    start = learning.vectors_at_start(seed)
    row = torch.nn.Parameter(start.rows["clip_l"].detach().clone())
    own = [torch.nn.Parameter(rows.detach().clone()) for rows in start.private.values()]
    optimizer = torch.optim.AdamW([row, *own], lr=recipe.lr, weight_decay=0.0)
    rule = DrawRule(
        4, 3, True, len(examples.sentences[0]), (500, 1000), (4, 8, 8), private=recipe.own_words
    )
    losses, mean = [], row.detach().clone()
    for step in range(STEPS):
        d = draw(seed, step, rule)
        z = examples.latents.sample(d.photos, d.mirrored, d.spread)
        alpha = model.noise_schedule.alphas_cumprod[d.timesteps][:, None, None, None]
        z_t = alpha.sqrt() * z + (1 - alpha).sqrt() * d.noise
        prompts = [
            examples.prompt(
                int(photo), int(number), d.private is not None and bool(d.private[sample])
            )
            for sample, (photo, number) in enumerate(zip(d.photos, d.sentences, strict=True))
        ]
        words = {"mug": {"clip_l": row}} | {
            private_name("mug", photo): {"clip_l": rows[photo : photo + 1]}
            for rows in own
            for photo in range(3)
        }
        hidden = model.condition(prompts, words).hidden
        loss = (model.denoiser(z_t, d.timesteps, hidden).sample - d.noise).square().mean()
        losses.append(float(loss.detach()))
        if recipe.context:
            key, every = keyed_generator(seed, "context", step), len(examples.context.prompts)
            numbers = torch.randint(every, (4,), generator=key).tolist()
            distance = context_distance(model, examples.context, {"clip_l": row}, numbers)
            loss = loss + recipe.context * distance
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([row, *own], recipe.clip or float("inf"))
        optimizer.step()
        with torch.no_grad():
            for learned in (row, *own):
                learned.copy_(held(learned))
            weight = (recipe.average + 1) / (step + 1 + recipe.average) if recipe.average else 1
            mean += weight * (row - mean)
    return losses, held(mean)


def test_a_run_equals_a_plain_loop(tmp_path, tiny_folder):
    """One free vector, AdamW at one rate, the mean squared error on the noise."""
    photos = make_photos(tmp_path / "photos", 3)
    compare(plan_for(photos, tiny_folder, steps=STEPS, seed=9, init="mug", **PLAIN))


def test_a_run_by_the_default_recipe_equals_a_plain_loop(tmp_path, tiny_folder):
    """With the photos' own words, norms held, gradients clipped, the context's pull and the mean.

    The limit is put where it cuts, the weight where it weighs, and the last word is what is kept.
    """
    photos = make_photos(tmp_path / "photos", 3)
    recipe = load_recipe("default").with_flags(
        steps=STEPS, init="mug", clip=0.05, context=0.5, stop="never", keep="last"
    )
    assert recipe.average and recipe.norm == "vocabulary" and recipe.batch == 4
    assert recipe.own_words == 0.8
    request = Request((str(photos),), "<mug>", recipe, str(tiny_folder), 9, False, True)
    compare(make_plan(request, Library.open()))


def compare(plan) -> None:
    seen, losses = [], []

    def watch(learning, step):
        seen.append(learning)
        losses.append(step.loss)

    _, embedding = learn(plan, watch=watch)
    expected, row = plain_loop(seen[0], plan.seed)
    assert losses == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(embedding.rows["clip_l"], row.numpy(), atol=2e-6)
    start = seen[0].vectors_at_start(plan.seed).rows["clip_l"].detach()
    assert (row - start).abs().max() > 100 * 2e-6
