"""When a run has settled, and which of its evaluations to keep. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import pvariance

from ticli.recipe import Recipe

# A word can make predictions no worse than chance: a loss so many times the first one is none of
# learning.
LARGEST_LOSS = 3.0


@dataclass(frozen=True)
class Evaluation:
    """What the word was worth after a step; `step` 0 is the start.

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
    """Whether the word left everything a word can do; evaluations begin with the start's."""
    loss = new.held_out
    if loss != loss or loss == float("inf"):
        return True
    return bool(evaluations) and loss > LARGEST_LOSS * evaluations[0].held_out


def thinned(evaluations: Sequence[Evaluation], most: int) -> list[Evaluation]:
    """At most about `most` of the evaluations, evenly spread, the last one among them."""
    stride = -(-len(evaluations) // most) if evaluations else 1
    last = len(evaluations) - 1
    return [e for i, e in enumerate(evaluations) if (last - i) % stride == 0]
