"""The restarts of a run: each takes its steps and its evaluations, and the best one is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ticli.errors import Diverged
from ticli.inversion.evaluation import evaluate, evaluation_interval
from ticli.inversion.loss import Learner
from ticli.inversion.schedule import (
    Evaluation,
    has_exploded,
    is_better,
    last_step,
    should_cool_down,
)
from ticli.inversion.state import rows_of
from ticli.inversion.step import Step, make_learner, take_step

if TYPE_CHECKING:
    from ticli.inversion.engine import Training


def next_learner(training: Training) -> Learner | None:
    """The learner of the restart that takes the run's next step; None after the last restart.

    A restart is evaluated before its first step. Raises Diverged where no restart ended well.
    """
    plan, restarts = training.plan, training.restarts
    while True:
        if restarts.closed:
            if len(restarts.done) >= plan.recipe.restarts:
                return None
            restarts.open(training.new_state(restarts.seed(plan.seed)))
        seed, state = restarts.seed(plan.seed), restarts.state
        try:
            if not state.evaluations:
                note_evaluation(training)
        except Diverged as error:
            give_up(training, seed, error)
            continue
        if state.step < last_step(plan.recipe, state.cooling):
            return _learner(training, seed)
        restarts.close(plan.recipe, seed)


def take(training: Training, learner: Learner, loss: float, began: float) -> Step | None:
    """Take the step whose gradient is on the learner's rows; `began` is its monotonic time.

    None where the restart diverged and others are left; raises Diverged where none is.
    """
    try:
        return take_step(learner, loss, began)
    except Diverged as error:
        give_up(training, learner.seed, error)
        return None


def is_due(learner: Learner) -> bool:
    """Whether an evaluation follows the step that was taken."""
    recipe, state = learner.recipe, learner.state
    last = state.step == last_step(recipe, state.cooling)
    return last or state.step % evaluation_interval(recipe) == 0


def finish_step(
    training: Training, learner: Learner, step: Step, found: Evaluation | None = None
) -> Step | None:
    """Note the evaluation `found` where one is due; the step as its run counts it.

    None and Diverged as with `take`.
    """
    held_out = None
    try:
        if is_due(learner):
            held_out = note_evaluation(training, found)
    except Diverged as error:
        give_up(training, learner.seed, error)
        return None
    return replace(step, index=training.restarts.steps, total=training.total, held_out=held_out)


def give_up(training: Training, seed: int, error: Diverged) -> None:
    """End a restart that diverged; raises its error where none ended well and none is left."""
    restarts = training.restarts
    restarts.give_up(seed)
    if restarts.winner is None and len(restarts.done) == training.plan.recipe.restarts:
        raise error


def note_evaluation(training: Training, found: Evaluation | None = None) -> float:
    """Evaluate the vectors unless that is done, and note whether they are best, settled or lost.

    Returns the held-out loss. Raises Diverged where the loss exploded once too often.
    """
    recipe, state = training.plan.recipe, training.state

    def now() -> Evaluation:
        return evaluate(training.model, [(training.judge, state.word, state.step)])[0]

    found = found or now()
    if has_exploded(found, state.evaluations):
        state.go_back(recipe, f"the held-out loss came to {found.held_out:g}")
        found = now()
    state.evaluations.append(found)
    state.mark_good()
    # While vectors are still to join, or have just joined, the concept is not the one asked for.
    if recipe.vectors_at(max(0, state.step - 1)) == recipe.vectors:
        if is_better(found, state.best[0] if state.best else None, recipe.drift_limit):
            state.best = found, rows_of(state.word)
        if state.cooling is None and should_cool_down(state.evaluations, recipe):
            state.cooling = state.step
    return found.held_out


def _learner(training: Training, seed: int) -> Learner:
    """The learner of the restart under way, built once."""
    known, state = training.learner, training.state
    if known is None or known.state is not state:
        known = make_learner(training.model, training.examples, state, training.plan.recipe, seed)
        training.learner = known
    return known
