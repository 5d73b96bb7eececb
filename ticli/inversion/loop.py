"""One training step: its gradient made usable, the vectors moved and looked after."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ticli.inversion.batches import Learner, draw_rule
from ticli.inversion.examples import Examples
from ticli.inversion.rates import last_step, learning_rate
from ticli.inversion.state import TrainingState
from ticli.inversion.steps import move
from ticli.inversion.vectors import Vectors, vocabulary_norm
from ticli.models.model import Model
from ticli.recipe import Recipe

# So many steps in a row without a finite gradient, and nothing better is to come by waiting.
PATIENCE = 10
# Learned words of a hundred times the vocabulary's norm have been seen (2312.15905).
LARGEST_NORM = 1000.0


@dataclass(frozen=True)
class Step:
    """One step done. `norm` is the vectors' mean norm, `seconds` what the step took.

    `held_out` is the loss on what is not trained on, where the step was followed by an evaluation.
    """

    index: int
    total: int
    loss: float
    norm: float
    seconds: float
    skipped: bool = False
    held_out: float | None = None


def enrol(
    model: Model, examples: Examples, state: TrainingState, recipe: Recipe, seed: int
) -> Learner:
    """A word as one that takes steps; where it stands is what it goes back to if it diverges."""
    if state.good is None:
        state.mark_good()
    limits = {e.key: LARGEST_NORM * vocabulary_norm(e) for e in model.encoders}
    rule = draw_rule(model, examples, recipe)
    return Learner(examples, state, recipe, seed, rule, limits)


def take_step(learner: Learner, loss: float, began: float) -> Step:
    """Take the step whose gradient is on a learner's rows; `began` is its monotonic time.

    A step whose loss or gradient is not finite leaves the vectors and the optimiser untouched.
    After PATIENCE such steps in a row, or where the norm explodes, the state goes back to the last
    good one. Raises Diverged where no good state is left to return to.
    """
    state, recipe = learner.state, learner.recipe
    usable = math.isfinite(loss) and _clip(state.vectors, recipe.clip)
    if usable:
        _apply(state, recipe)
        state.losses.append(loss)
        state.unusable = 0
    else:
        state.skipped += 1
        state.unusable += 1
    state.step += 1
    if usable and recipe.average:
        state.average(recipe.average)
    if state.unusable >= PATIENCE:
        state.go_back(recipe, f"no finite gradient in {PATIENCE} steps")
    elif not _within(state.vectors, learner.limits):
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


def _within(vectors: Vectors, limits: Mapping[str, float]) -> bool:
    """Whether every vector is finite and no longer than its encoder's limit."""
    norms = vectors.norms()
    return vectors.finite() and all(max(norms[key]) <= limits[key] for key in norms)


def _clip(vectors: Vectors, limit: float) -> bool:
    """Clip the rows' gradient to an L2 norm; False where it is not finite."""
    gradients = [row.grad for row in vectors.parameters().values() if row.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    if not bool(norm.isfinite()):
        return False
    if limit and float(norm) > limit:
        for gradient in gradients:
            gradient.mul_(limit / norm)
    return True


def _apply(state: TrainingState, recipe: Recipe) -> None:
    for group in state.optimizer.param_groups:
        group["lr"] = state.rate_scale * learning_rate(recipe, state.step, state.cooling)
    move(state.vectors, state.optimizer, recipe)
