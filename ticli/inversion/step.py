"""One training step of the concepts that learn together."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ticli.inversion.context import context_distance
from ticli.inversion.draws import Draw, draw, keyed_generator
from ticli.inversion.examples import Examples
from ticli.inversion.loss import Learner, add_gradients, alike, draw_rule, share_of
from ticli.inversion.schedule import last_step, learning_rate
from ticli.inversion.state import TrainingState
from ticli.inversion.vectors import Vectors, move, vocabulary_norm
from ticli.models.memory import with_less
from ticli.models.model import Model
from ticli.recipe import Recipe


def regularise(
    model: Model, examples: Examples, vectors: Vectors, recipe: Recipe, key: tuple[int, int]
) -> None:
    """Add the gradients of the recipe's regularisers; `key` is (seed, step)."""
    for name, row in vectors.rows.items() if recipe.pull else ():
        # The gradient of weight · |v − v₀|², the mean over the vectors (2208.01618).
        gradient = 2 * recipe.pull / len(row) * (row.detach() - vectors.start[name])
        row.grad = gradient if row.grad is None else row.grad + gradient
    if examples.context is not None:
        numbers = torch.randint(
            len(examples.context.prompts),
            (recipe.batch * recipe.accumulate,),
            generator=keyed_generator(key[0], "context", key[1]),
        )
        given = examples.context, vectors.rows, numbers.tolist()
        replayer = model.replayer
        if replayer is None or not replayer.add_context_gradient(model, *given, recipe.context):
            distance = context_distance(model, *given)
            (recipe.context * distance).backward()  # type: ignore[no-untyped-call]


# Gradients of half-precision activations vanish below 6e-8; the loss is raised by this factor
# before the backward pass and the rows' gradient lowered by it in float32.
HALF_PRECISION_SCALE = 1024.0


def gradients(
    model: Model,
    learners: Sequence[Learner],
    make_replayer: Callable[[Model], Any] | None = None,
) -> list[float]:
    """Leave the gradient of its next step on every learner's rows; return each one's mean loss.

    Samples whose latents have one shape go through the denoiser together. A learner's gradient
    depends on its own samples alone. If the device is out of memory, the step is taken again with
    less. `make_replayer` makes what records and replays the steps of a model without a replayer.
    """

    def take_gradients() -> list[float]:
        if model.replayer is None and make_replayer is not None:
            model.replayer = make_replayer(model)
        return _gradients(model, learners)

    return with_less(model, sum(learner.recipe.batch for learner in learners), take_gradients)


def _gradients(model: Model, learners: Sequence[Learner]) -> list[float]:
    drawn = [_draw_step(learner) for learner in learners]
    scale = HALF_PRECISION_SCALE if model.hardware.dtype == torch.float16 else 1.0
    totals = dict.fromkeys(range(len(learners)), 0.0)
    for number in range(max(learner.recipe.accumulate for learner in learners)):
        shapes = {
            at: learner.rule.shape
            for at, learner in enumerate(learners)
            if number < learner.recipe.accumulate
        }
        for places in alike(shapes):
            shares = []
            for at in places:
                size = learners[at].recipe.batch
                part = slice(number * size, (number + 1) * size)
                shares.append(share_of(model, drawn[at], part))
            for at, loss in zip(places, add_gradients(model, shares, scale), strict=True):
                totals[at] += loss
    for learner, examples, _ in drawn:
        learner.state.vectors.finish_gradients(scale)
        key = learner.seed, learner.state.step
        regularise(model, examples, learner.state.vectors, learner.recipe, key)
    return list(totals.values())


def _draw_step(learner: Learner) -> tuple[Learner, Examples, Draw]:
    """Clear a learner's gradient and draw the samples of its next step."""
    state, recipe = learner.state, learner.recipe
    vectors = recipe.vectors_at(state.step)
    if state.step and vectors > recipe.vectors_at(state.step - 1):
        # Otherwise a row that joins late takes its first steps by moments of many idle ones.
        state.optimizer.state.clear()
    state.optimizer.zero_grad(set_to_none=True)
    samples = draw(learner.seed, state.step, learner.rule)
    return learner, learner.examples.at(vectors), samples


# After so many steps in a row without a finite gradient, waiting does not help.
PATIENCE = 10
# Concepts of a hundred times the vocabulary's norm have been seen (2312.15905).
LARGEST_NORM = 1000.0


@dataclass(frozen=True)
class Step:
    """A step that was taken. `norm` is the vectors' mean norm, `seconds` what the step took.

    `held_out` is the loss on what is not trained on, if an evaluation followed the step.
    """

    index: int
    total: int
    loss: float
    norm: float
    seconds: float
    skipped: bool = False
    held_out: float | None = None


def make_learner(
    model: Model, examples: Examples, state: TrainingState, recipe: Recipe, seed: int
) -> Learner:
    """Build the learner of one restart; its current state is the rollback point."""
    if state.good is None:
        state.mark_good()
    limits = {e.key: LARGEST_NORM * vocabulary_norm(e) for e in model.encoders}
    rule = draw_rule(model, examples, recipe)
    return Learner(examples, state, recipe, seed, rule, limits)


def take_step(learner: Learner, loss: float, began: float) -> Step:
    """Take the step whose gradient is on a learner's rows; `began` is its monotonic time.

    A step whose loss or gradient is not finite leaves the vectors and the optimiser untouched.
    After PATIENCE such steps in a row, or if the norm explodes, the state goes back to the last
    good one. Raises Diverged if it may not go back again.
    """
    state, recipe = learner.state, learner.recipe
    usable = math.isfinite(loss) and _clip(state.vectors, recipe.clip)
    if usable:
        for group in state.optimizer.param_groups:
            group["lr"] = state.rate_scale * learning_rate(recipe, state.step, state.cooling)
        move(state.vectors, state.optimizer, recipe)
        state.losses.append(loss)
        state.unusable = 0
    else:
        state.skipped += 1
        state.unusable += 1
    state.step += 1
    if usable and recipe.average:
        state.average(recipe.average)
    reached = state.vectors.norms()
    within = all(max(reached[key]) <= learner.limits[key] for key in reached)
    if state.unusable >= PATIENCE:
        state.go_back(recipe, f"no finite gradient in {PATIENCE} steps")
    elif not (within and state.vectors.finite()):
        state.go_back(recipe, "the vectors grew without end")
    norms = [norm for values in state.vectors.norms().values() for norm in values]
    return Step(
        index=state.step,
        total=last_step(recipe, state.cooling),
        loss=loss,
        norm=sum(norms) / len(norms),
        seconds=time.monotonic() - began,
        skipped=not usable,
    )


def _clip(vectors: Vectors, limit: float) -> bool:
    """Clip the rows' gradient to an L2 norm; False if it is not finite."""
    gradients = [row.grad for row in vectors.parameters().values() if row.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    if not bool(norm.isfinite()):
        return False
    if limit and float(norm) > limit:
        for gradient in gradients:
            gradient.mul_(limit / norm)
    return True
