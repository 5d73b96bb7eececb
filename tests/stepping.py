"""Steps without a run's folder and evaluations: the product's own, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any


def train(model: Any, examples: Any, state: Any, recipe: Any, seed: int) -> Iterator[Any]:
    """Take the recipe's remaining steps over `state`, yielding a Step after each."""
    from ticli.inversion import gradients, last_step, make_learner, replayer_for, take_step

    learner = make_learner(model, examples, state, recipe, seed)
    while state.step < last_step(recipe, state.cooling):
        began = time.monotonic()
        (loss,) = gradients(model, [learner], replayer_for)
        yield take_step(learner, loss, began)


def training_loss(model: Any, examples: Any, vectors: Any, drawn: Any, part: slice) -> Any:
    """The loss of some samples of a draw as a step takes it, a scalar."""
    from ticli.inversion import predict, weighed_loss, weights_of

    pair = predict(model, examples, vectors, drawn, part)
    return weighed_loss(*pair, *weights_of(model, examples, drawn, part))
