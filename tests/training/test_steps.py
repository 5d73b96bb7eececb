"""Draws, norms, starting vectors, accumulation, and what happens when numbers are not finite."""

from __future__ import annotations

import math

import pytest
import torch
from stepping import train
from test_frozen import begin, examples_for
from tiny import WIDTH

from ticli.errors import Diverged, Usage
from ticli.inversion import (
    PATIENCE,
    DrawRule,
    Start,
    draw,
    learning_rate,
    new_state,
    start_vectors,
    vocabulary_norm,
)
from ticli.recipe import Recipe

RULE = DrawRule(batch=8, photos=5, flip=True, sentences=7, timesteps=(200, 1000), shape=(4, 2, 2))


def test_draws_depend_on_seed_and_step_alone():
    torch.manual_seed(1)
    first = draw(0, 3, RULE)
    torch.manual_seed(2)
    torch.randn(5)
    again = draw(0, 3, RULE)
    assert torch.equal(first.noise, again.noise) and torch.equal(first.timesteps, again.timesteps)
    assert not torch.equal(first.noise, draw(0, 4, RULE).noise)
    assert not torch.equal(first.noise, draw(1, 3, RULE).noise)


def test_photos_come_equally_often_and_timesteps_cover_the_schedule():
    for step in range(20):
        drawn = draw(0, step, RULE)
        counts = torch.bincount(drawn.photos, minlength=5)
        assert counts.max() - counts.min() <= 1
        assert sorted(((drawn.timesteps - 200) // 100).tolist()) == list(range(8))
    assert not draw(0, 0, DrawRule(8, 5, False, 7, (0, 1000), (1,))).mirrored.any()


def test_a_step_does_not_depend_on_how_its_batch_is_split(tiny):
    rows = []
    for recipe in (
        Recipe(steps=3, lr=0.05, batch=6, norm="free"),
        Recipe(steps=3, lr=0.05, batch=2, accumulate=3, norm="free"),
    ):
        examples, state = begin(tiny, recipe)
        list(train(tiny, examples, state, recipe, seed=0))
        rows.append(state.vectors.rows["clip_l"].detach())
    assert torch.allclose(*rows, atol=1e-5)


def test_same_seed_same_bits_other_seed_other_bits(tiny):
    def learn(seed: int) -> torch.Tensor:
        recipe = Recipe(steps=3, batch=4)
        examples, state = begin(tiny, recipe)
        list(train(tiny, examples, state, recipe, seed))
        return state.vectors.rows["clip_l"].detach()

    assert torch.equal(learn(0), learn(0))
    assert not torch.equal(learn(0), learn(1))


def test_the_norm_is_held_at_the_vocabularys_median(tiny):
    recipe = Recipe(steps=3, lr=0.5, vectors=2)
    examples, state = begin(tiny, recipe)
    wanted = vocabulary_norm(tiny.encoders[0])
    for step in train(tiny, examples, state, recipe, seed=0):
        assert step.norm == pytest.approx(wanted, rel=1e-5)
    recipe = Recipe(steps=3, lr=0.5, norm="free")
    examples, state = begin(tiny, recipe)
    *_, last = train(tiny, examples, state, recipe, seed=0)
    assert last.norm != pytest.approx(wanted, rel=1e-2)


def test_starting_vectors(tiny):
    table = tiny.encoders[0].table
    ids = tiny.encoders[0].tokenizer("red mug", add_special_tokens=False).input_ids
    assert len(ids) == 2

    def start(text: str, vectors: int) -> torch.Tensor:
        return start_vectors(tiny, Start(text, vectors, "free", 0)).rows["clip_l"].detach()

    assert torch.equal(start("mug", 1)[0], table[ids[1]])
    assert torch.allclose(start("red mug", 1)[0], table[ids].mean(0))
    assert torch.equal(start("red mug", 3), table[[ids[0], ids[1], ids[0]]])
    assert torch.allclose(start("mean", 1)[0], table.mean(0))
    assert torch.equal(start("random", 2), start("random", 2))
    assert start("random", 2).std() == pytest.approx(float(table.std()), rel=0.5)
    with pytest.raises(Usage, match="3 vectors"):
        start("red mug car", 2)


def test_a_concept_can_be_continued(tiny):
    from ticli.concept import Embedding

    rows = torch.randn(1, WIDTH)
    embedding = Embedding({"clip_l": rows.numpy()})
    vectors = start_vectors(tiny, Start("<old>", 1, "free", 0, embedding))
    assert torch.equal(vectors.rows["clip_l"].detach(), rows)


def test_learning_rates():
    recipe = Recipe(steps=10, lr=1.0, warmup=4, schedule="cosine")
    rates = [learning_rate(recipe, step) for step in range(10)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == 1.0 and rates == sorted(rates[:4]) + sorted(rates[4:], reverse=True)
    assert learning_rate(Recipe(lr=1.0, schedule="constant"), 7) == 1.0


def test_a_step_without_finite_gradient_changes_nothing(tiny):
    recipe = Recipe(steps=PATIENCE - 1, batch=3)
    examples, state = begin(tiny, recipe)
    examples.latents.mean[0] = math.nan
    before = state.vectors.rows["clip_l"].detach().clone()
    steps = list(train(tiny, examples, state, recipe, seed=0))
    assert all(step.skipped for step in steps) and state.skipped == len(steps)
    assert torch.equal(before, state.vectors.rows["clip_l"])
    assert not state.optimizer.state and not state.losses


def test_training_that_stays_unusable_diverges(tiny):
    recipe = Recipe(steps=100, batch=3)
    examples, state = begin(tiny, recipe)
    examples.latents.mean[:] = math.inf
    with pytest.raises(Diverged) as caught:
        list(train(tiny, examples, state, recipe, seed=0))
    assert caught.value.exit_code == 1 and state.step == PATIENCE * (1 + recipe.restores)
    assert "3 returns" in caught.value.message


def test_the_gradient_is_clipped(tiny):
    recipe = Recipe(steps=1, batch=3, clip=1e-4, norm="free")
    state = new_state(start_vectors(tiny, Start("mug", 1, "free", 0)), recipe)
    list(train(tiny, examples_for(tiny), state, recipe, seed=0))
    assert state.vectors.rows["clip_l"].grad.norm() == pytest.approx(1e-4, rel=1e-3)
