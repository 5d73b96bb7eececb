"""In every family words that learn side by side get the gradients that each would get alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_families import BUILDERS

from ticli.inversion import (
    Examples,
    Latents,
    Learner,
    Start,
    gradients,
    make_learner,
    new_state,
    start_vectors,
)
from ticli.recipe import Recipe

pytestmark = pytest.mark.slow

RECIPE = Recipe(steps=4, lr=0.05, batch=2, norm="free", timestep_low=0)
# Sums over a larger batch are taken in another order.
NEAR = {"rtol": 2e-3, "atol": 1e-6}


def learner(model: Any, name: str, init: str, seed: int, vectors: int = 1) -> Learner:
    """A word on latents and a sentence of its own."""
    generator = torch.Generator().manual_seed(seed)
    side = model.source.size // model.source.grain * model.family.patch
    shape = (2, 2, model.channels, side, side)
    latents = Latents(torch.randn(shape, generator=generator), torch.full(shape, 0.1))
    text = f"a photo of a <{name}> on the moon"
    sentences = [
        [model.tokenise(text, {name: vectors}), model.tokenise(f"<{name}>", {name: vectors})]
    ]
    state = new_state(start_vectors(model, Start(init, vectors, "free", seed)), RECIPE)
    return make_learner(model, Examples(name, latents, sentences * 2), state, RECIPE, seed)


def rows(learned: Learner) -> dict[str, torch.Tensor]:
    return {key: row.grad.clone() for key, row in learned.state.vectors.rows.items()}


@pytest.mark.parametrize("name", BUILDERS)
def test_gradients_are_those_of_each_word_alone(models, name):
    model = models[name]
    words = [
        learner(model, "mug", "mug", 0),
        learner(model, "cup", "random", 1, vectors=2),
        learner(model, "fern", "mean", 2),
    ]
    expected = []
    for word in words:
        (loss,) = gradients(model, [word])
        expected.append((loss, rows(word)))
    losses = gradients(model, words)
    for word, loss, (alone, gradient) in zip(words, losses, expected, strict=True):
        assert loss == pytest.approx(alone, rel=1e-4)
        for key, found in rows(word).items():
            assert gradient[key].abs().max() > 0
            assert torch.allclose(found, gradient[key], **NEAR), (word.examples.concept, key)
