"""The tries of a run, one step at a time: judged at the recipe's interval, ended, begun anew."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ticli.errors import Diverged
from ticli.inversion.evaluation import evaluation_interval
from ticli.inversion.loss import Learner
from ticli.inversion.schedule import (
    Evaluation,
    has_exploded,
    is_better,
    last_step,
    should_cool_down,
)
from ticli.inversion.state import rows_of
from ticli.inversion.step import Step, enrol, take_step

if TYPE_CHECKING:
    from ticli.inversion.engine import Learning


def next_learner(learning: Learning) -> Learner | None:
    """The try that a run takes its next step in, judged at its start; None after the last try.

    Raises Diverged where no try ended well.
    """
    plan, attempts = learning.plan, learning.attempts
    while True:
        if attempts.closed:
            if len(attempts.done) >= plan.recipe.restarts:
                return None
            attempts.open(learning.new_try(attempts.seed(plan.seed)))
        seed, state = attempts.seed(plan.seed), attempts.state
        try:
            if not state.evaluations:
                evaluate(learning)
        except Diverged as error:
            give_up(learning, seed, error)
            continue
        if state.step < last_step(plan.recipe, state.cooling):
            return _learner(learning, seed)
        attempts.close(plan.recipe, seed)


def take_next(learning: Learning, learner: Learner, loss: float, began: float) -> Step | None:
    """Take the step whose gradient is on the learner's rows, and judge the word where it is due.

    `began` is the step's monotonic time. None where the try diverged and others are left; raises
    Diverged where none is.
    """
    step = take(learning, learner, loss, began)
    return None if step is None else judged(learning, learner, step, began)


def take(learning: Learning, learner: Learner, loss: float, began: float) -> Step | None:
    """Take a step as take_next does, and leave its judging for later."""
    try:
        return take_step(learner, loss, began)
    except Diverged as error:
        give_up(learning, learner.seed, error)
        return None


def is_due(learner: Learner) -> bool:
    """Whether the step that was taken is followed by an evaluation."""
    recipe, state = learner.recipe, learner.state
    last = state.step == last_step(recipe, state.cooling)
    return last or state.step % evaluation_interval(recipe) == 0


def judged(
    learning: Learning,
    learner: Learner,
    step: Step,
    began: float,
    found: Evaluation | None = None,
) -> Step | None:
    """Judge the word where it is due, or note what was `found`; the step as its run counts it.

    None and Diverged as with take_next.
    """
    held_out = None
    try:
        if is_due(learner):
            held_out = evaluate(learning, found)
    except Diverged as error:
        give_up(learning, learner.seed, error)
        return None
    return replace(
        step,
        index=learning.attempts.steps,
        total=learning.total,
        seconds=time.monotonic() - began,
        held_out=held_out,
    )


def give_up(learning: Learning, seed: int, error: Diverged) -> None:
    """End a try that diverged; raises its error where no try ended well and none is left."""
    attempts = learning.attempts
    attempts.give_up(seed)
    if attempts.winner is None and len(attempts.done) == learning.plan.recipe.restarts:
        raise error


def evaluate(learning: Learning, found: Evaluation | None = None) -> float:
    """Judge the vectors, and note what follows: good, best, settled, or exploded.

    What was `found` of them already is taken as it is.
    """
    recipe, state = learning.plan.recipe, learning.state
    if found is None:
        found = learning.judge.evaluate(state.word, state.step)
    if has_exploded(found, state.evaluations):
        state.go_back(recipe, f"the held-out loss came to {found.held_out:g}")
        found = learning.judge.evaluate(state.word, state.step)
    state.evaluations.append(found)
    state.mark_good()
    # A word of which vectors are still to join, or have just joined, is not the one asked for.
    if recipe.vectors_at(max(0, state.step - 1)) == recipe.vectors:
        if is_better(found, state.best[0] if state.best else None, recipe.drift_limit):
            state.best = found, rows_of(state.word)
        if state.cooling is None and should_cool_down(state.evaluations, recipe):
            state.cooling = state.step
    return found.held_out


def _learner(learning: Learning, seed: int) -> Learner:
    """The try under way as one that takes steps, made once."""
    known, state = learning.learner, learning.state
    if known is None or known.state is not state:
        known = enrol(learning.model, learning.examples, state, learning.plan.recipe, seed)
        learning.learner = known
    return known
