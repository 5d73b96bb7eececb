"""One step's gradients on the rows of words that learn together."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ticli.inversion.batches import Learner, Task, alike, share_of
from ticli.inversion.draws import draw
from ticli.inversion.graph import replayer_for
from ticli.inversion.passes import add_gradients
from ticli.inversion.regularisers import regularise
from ticli.models.memory import with_less
from ticli.models.model import Model

# Gradients of half-precision activations vanish below 6e-8; the loss is raised by this factor
# before the backward pass and the rows' gradient lowered by it in float32.
HALF_PRECISION_SCALE = 1024.0


def gradients(model: Model, learners: Sequence[Learner]) -> list[float]:
    """Leave the gradient of its next step on every learner's rows; each one's mean loss.

    Samples go through the denoiser together where their latents have one shape. A learner's
    gradient hangs on its own samples alone, whoever learns beside it. Where the device is out of
    memory, the step is taken again with less.
    """
    batch = sum(learner.recipe.batch for learner in learners)
    return with_less(model, batch, lambda: _gradients(model, learners))


def _gradients(model: Model, learners: Sequence[Learner]) -> list[float]:
    if model.replayer is None:
        model.replayer = replayer_for(model)
    tasks = [_task(learner) for learner in learners]
    scale = HALF_PRECISION_SCALE if model.hardware.dtype == torch.float16 else 1.0
    totals = dict.fromkeys(range(len(tasks)), 0.0)
    for number in range(max(learner.recipe.accumulate for learner in learners)):
        shapes = {
            at: task.learner.rule.shape
            for at, task in enumerate(tasks)
            if number < task.learner.recipe.accumulate
        }
        for places in alike(shapes):
            shares = [share_of(model, tasks[at], tasks[at].part(number)) for at in places]
            for at, loss in zip(places, add_gradients(model, shares, scale), strict=True):
                totals[at] += loss
    for task in tasks:
        learner = task.learner
        learner.state.vectors.finish_gradients(scale)
        key = learner.seed, learner.state.step
        regularise(model, task.examples, learner.state.vectors, learner.recipe, key)
    return list(totals.values())


def _task(learner: Learner) -> Task:
    """Draw a learner's next step, its gradient being empty."""
    state, recipe = learner.state, learner.recipe
    vectors = recipe.vectors_at(state.step)
    if state.step and vectors > recipe.vectors_at(state.step - 1):
        # A row that joins late would else take its first steps by moments of many idle ones.
        state.optimizer.state.clear()
    state.optimizer.zero_grad(set_to_none=True)
    samples = draw(learner.seed, state.step, learner.rule)
    return Task(learner, learner.examples.at(vectors), samples)
