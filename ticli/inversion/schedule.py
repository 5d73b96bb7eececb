"""The learning rate of each step: a rise, a course, and a fall to zero once a run may end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import pvariance

from ticli.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, cooling: int | None = None) -> float:
    """The rate of a step counted from 0.

    It rises over `warmup` steps and follows the recipe's schedule. `cooling` is the step at which
    the run was found to have settled: from there it falls linearly to zero over `cooldown` steps,
    on top of the schedule, so that stopping early ends as calmly as the cap does.
    """
    if step < recipe.warmup:
        rate = recipe.lr * (step + 1) / (recipe.warmup + 1)
    else:
        rate = recipe.lr * _course(recipe, step)
    if cooling is None or step < cooling:
        return rate
    return rate * _fall(step - cooling, recipe.cooldown)


def last_step(recipe: Recipe, cooling: int | None) -> int:
    """How many steps a run takes: the cap, or fewer if it cools down before that."""
    if cooling is None:
        return recipe.steps
    return min(recipe.steps, cooling + recipe.cooldown)


def _course(recipe: Recipe, step: int) -> float:
    """What the recipe's schedule leaves of the rate, 0 to 1."""
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    match recipe.schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return 1 - done
        case "trapezoid":
            # Linear to zero over the last `cooldown` steps (Hägele et al., 2405.18392).
            began = recipe.steps - recipe.cooldown
            return _fall(step - began, recipe.cooldown) if step > began else 1.0
    return 1.0


def _fall(steps: int, length: int) -> float:
    return max(0.0, 1 - steps / length) if length else 0.0


# A concept cannot make predictions worse than chance, so that a loss so many times the first one
# means that the run diverged.
LARGEST_LOSS = 3.0


@dataclass(frozen=True)
class Evaluation:
    """How good the concept was after a step; `step` 0 is the start.

    `held_out` is the mean denoising loss on what it is not trained on, `drift` 1 minus the mean
    cosine between a prompt's other words beside it and beside its class word.
    """

    step: int
    held_out: float
    drift: float


def has_settled(losses: Sequence[float], window: int, ratio: float) -> bool:
    """Whether the last `window` losses vary by less than `ratio` of what all of them do.

    Voronov et al. 2023 (DVAR, 2302.04841), with every loss on the same fixed batch.
    """
    if len(losses) <= window:
        return False
    whole = pvariance(losses)
    return whole == 0 or pvariance(losses[-window:]) < ratio * whole


def should_cool_down(evaluations: Sequence[Evaluation], recipe: Recipe) -> bool:
    """Whether the recipe lets the run end and the held-out loss has settled."""
    losses = [evaluation.held_out for evaluation in evaluations]
    return recipe.stop == "auto" and has_settled(losses, recipe.stop_window, recipe.stop_ratio)


def is_better(new: Evaluation, old: Evaluation | None, drift_limit: float) -> bool:
    """Whether to keep `new` in place of `old`.

    Those within the drift limit come first, the one of lowest held-out loss among them; of those
    beyond it the one that drifted least.
    """
    if old is None:
        return True
    within, was_within = new.drift <= drift_limit, old.drift <= drift_limit
    if within != was_within:
        return within
    return new.held_out < old.held_out if within else new.drift < old.drift


def has_exploded(new: Evaluation, evaluations: Sequence[Evaluation]) -> bool:
    """Whether the loss exploded; `evaluations` begin with that of the start."""
    loss = new.held_out
    if loss != loss or loss == float("inf"):
        return True
    return bool(evaluations) and loss > LARGEST_LOSS * evaluations[0].held_out


def thinned(evaluations: Sequence[Evaluation], most: int) -> list[Evaluation]:
    """At most about `most` of the evaluations, evenly spread, the last one among them."""
    stride = -(-len(evaluations) // most) if evaluations else 1
    last = len(evaluations) - 1
    return [e for i, e in enumerate(evaluations) if (last - i) % stride == 0]
