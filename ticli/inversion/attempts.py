"""The tries of one run: each a seed of its own, judged by the same held-out loss, one kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from ticli.inversion.rates import last_step
from ticli.inversion.snapshots import Snapshot, rows_of
from ticli.inversion.state import TrainingState
from ticli.inversion.stopping import Evaluation, is_better
from ticli.outcome import Attempt
from ticli.recipe import Recipe

SETTLED, CAPPED, DIVERGED = "settled", "steps", "diverged"


@dataclass(frozen=True)
class Finished:
    """A try that ended well: the rows it keeps, by name, and how it went."""

    attempt: Attempt
    kept: Evaluation
    rows: Snapshot
    evaluations: tuple[Evaluation, ...]
    losses: tuple[float, ...]
    skipped: int
    restores: int


@dataclass
class Attempts:
    """All that a run has done: the try under way, what became of the others, the best of them.

    `closed` says that the try of `state` is among those done.
    """

    state: TrainingState
    done: list[Attempt] = field(default_factory=list)
    winner: Finished | None = None
    closed: bool = False

    def seed(self, first: int) -> int:
        """The seed of the try under way; tries take `first` and those after it."""
        return first + len(self.done)

    @property
    def steps(self) -> int:
        """Steps taken in all tries."""
        before = sum(attempt.steps for attempt in self.done)
        return before if self.closed else before + self.state.step

    def open(self, state: TrainingState) -> None:
        """Begin the next try."""
        self.state, self.closed = state, False

    def close(self, recipe: Recipe, seed: int) -> None:
        """End the try under way and keep it where it is the best so far."""
        finished = finish_attempt(self.state, recipe, seed)
        self.done.append(finished.attempt)
        self.closed = True
        best = self.winner.kept if self.winner else None
        if is_better(finished.kept, best, recipe.drift_limit):
            self.winner = finished

    def give_up(self, seed: int) -> None:
        """End the try under way as diverged."""
        self.done.append(Attempt(seed, self.state.step, DIVERGED, None, None))
        self.closed = True


def finish_attempt(state: TrainingState, recipe: Recipe, seed: int) -> Finished:
    """What a try that took all its steps leaves: its last vectors, or those of its best."""
    kept, rows = state.evaluations[-1], rows_of(state.word)
    if recipe.keep == "best" and state.best is not None:
        kept, rows = state.best[0], dict(state.best[1])
    # A fall that the cap cut off, or that ended with it, did not end the run.
    stopped = SETTLED if last_step(recipe, state.cooling) < recipe.steps else CAPPED
    return Finished(
        attempt=Attempt(seed, state.step, stopped, kept.step, kept.held_out),
        kept=kept,
        rows=rows,
        evaluations=tuple(state.evaluations),
        losses=tuple(state.losses),
        skipped=state.skipped,
        restores=state.restores,
    )
