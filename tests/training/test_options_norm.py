"""Where a word starts, how its norm is kept, and what pulls it back: against formulas by hand."""

from __future__ import annotations

import math

import pytest
import torch
from stepping import train
from test_frozen import examples_for
from tiny import WIDTH

from ticli.errors import Usage
from ticli.inversion import Start, move, new_state, regularise, start_vectors, vocabulary_norm
from ticli.recipe import Recipe


def state_for(model, recipe: Recipe, init: str = "mug"):
    start = Start(
        init,
        recipe.vectors,
        recipe.norm,
        0,
        init_from=recipe.init_from,
        norm_pull=recipe.norm_pull,
    )
    return new_state(start_vectors(model, start), recipe)


def gradient(vectors: int = 1, key: int = 5) -> torch.Tensor:
    return torch.randn(vectors, WIDTH, generator=torch.Generator().manual_seed(key))


def step_with(state, recipe: Recipe, grad: torch.Tensor) -> torch.Tensor:
    state.vectors.rows["clip_l"].grad = grad.clone()
    move(state.vectors, state.optimizer, recipe)
    return state.vectors.rows["clip_l"].detach()


@pytest.mark.parametrize("prior", [0.0, 0.3])
def test_a_step_on_the_sphere_is_a_turn_against_the_tangent_gradient(tiny, prior):
    recipe = Recipe(norm="sphere", lr=0.05, prior=prior, vectors=2)
    state = state_for(tiny, recipe, "red mug")
    m = vocabulary_norm(tiny.encoders[0])
    before = state.vectors.rows["clip_l"].detach().clone()
    mu = before / before.norm(dim=1, keepdim=True)
    # Two steps, so that the second starts away from μ, where the prior has a part to play.
    for number in range(2):
        v = before / m
        g = gradient(2, number)
        wanted = []
        for row in range(2):
            full = m * g[row] - prior * mu[row]
            tangent = full - (full @ v[row]) * v[row]
            turned = v[row] - 0.05 * tangent / tangent.norm()
            wanted.append(m * turned / turned.norm())
        before = step_with(state, recipe, g)
        assert torch.allclose(before, torch.stack(wanted), atol=1e-6)
        assert before.norm(dim=1).tolist() == pytest.approx([m, m], rel=1e-5)
        before = before.clone()


def test_a_step_on_the_sphere_turns_by_the_rate(tiny):
    recipe = Recipe(norm="sphere", lr=0.01)
    state = state_for(tiny, recipe)
    before = state.vectors.rows["clip_l"].detach().clone()
    after = step_with(state, recipe, 1e-7 * gradient())
    cosine = torch.nn.functional.cosine_similarity(before, after).item()
    assert math.acos(min(1.0, cosine)) == pytest.approx(math.atan(0.01), rel=2e-2)
    assert torch.equal(after.clone(), step_with(state, recipe, torch.zeros(1, WIDTH)))


def test_the_prior_keeps_the_word_nearer_to_its_start(tiny):
    def angle(prior: float) -> float:
        recipe = Recipe(norm="sphere", lr=0.05, prior=prior, steps=8, schedule="constant")
        state = state_for(tiny, recipe)
        list(train(tiny, examples_for(tiny), state, recipe, seed=0))
        row = state.vectors.rows["clip_l"].detach()
        return torch.nn.functional.cosine_similarity(row, state.vectors.start["clip_l"]).item()

    assert angle(10.0) > angle(0.0) + 0.01


def test_a_soft_pull_goes_its_share_of_the_way_to_the_vocabularys_norm(tiny):
    adam = Recipe(norm="free", lr=0.3)
    pulled = Recipe(norm="pull", lr=0.3, norm_pull=0.25)
    free, soft = state_for(tiny, adam), state_for(tiny, pulled)
    assert torch.equal(free.vectors.rows["clip_l"], soft.vectors.rows["clip_l"])
    plain = step_with(free, adam, gradient())
    after = step_with(soft, pulled, gradient())
    m, own = vocabulary_norm(tiny.encoders[0]), plain.norm().item()
    assert torch.allclose(after, plain * (own + 0.25 * (m - own)) / own, atol=1e-6)


def test_the_pull_is_the_gradient_of_the_squared_distance_to_the_start(tiny):
    recipe = Recipe(norm="free", pull=0.7, vectors=2)
    state = state_for(tiny, recipe)
    row = state.vectors.rows["clip_l"]
    with torch.no_grad():
        row += gradient(2)
    row.grad = torch.ones_like(row)
    regularise(tiny, examples_for(tiny), state.vectors, recipe, (0, 0))
    v = row.detach().clone().requires_grad_()
    (0.7 * (v - state.vectors.start["clip_l"]).square().sum(1).mean()).backward()
    assert torch.allclose(row.grad, 1 + v.grad, atol=1e-6)


def test_without_regularisers_the_gradient_is_left_alone(tiny):
    recipe = Recipe()
    state = state_for(tiny, recipe)
    row = state.vectors.rows["clip_l"]
    row.grad = gradient()
    regularise(tiny, examples_for(tiny), state.vectors, recipe, (0, 0))
    assert torch.equal(row.grad, gradient())


def test_cross_initialisation_starts_from_the_encoders_output(tiny):
    recipe = Recipe(norm="free", init_from="output", vectors=2)
    state = state_for(tiny, recipe, "red mug")
    encoder = tiny.encoders[0]
    ids = encoder.tokenizer("red mug", padding="max_length", max_length=48, return_tensors="pt")
    with torch.no_grad():
        output = encoder.module(ids.input_ids).last_hidden_state[0]
    assert torch.allclose(state.vectors.rows["clip_l"], output[1:3], atol=1e-6)
    assert torch.equal(state.vectors.start["clip_l"], state.vectors.rows["clip_l"].detach())


@pytest.mark.parametrize("init", ["random", "mean"])
def test_cross_initialisation_needs_words(tiny, init):
    with pytest.raises(Usage, match="word"):
        state_for(tiny, Recipe(init_from="output"), init)


def test_a_prior_without_the_sphere_is_refused():
    with pytest.raises(Usage, match="sphere"):
        Recipe(prior=1e-4)
