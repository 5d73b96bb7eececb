"""A concept under training: its restarts take steps and evaluations, and the best one is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from ticli.concept import Attempt, Embedding, WordLoss
from ticli.errors import Diverged
from ticli.inversion.checkpoint import restore_checkpoint, save_checkpoint
from ticli.inversion.evaluation import Judge, evaluate, evaluation_interval, make_judge
from ticli.inversion.examples import Examples, build_examples, encode, trained_photos
from ticli.inversion.first_guess import choose_init, settled_plan, warm_start
from ticli.inversion.loss import Learner
from ticli.inversion.low_memory import keep_savings, memory_of, take_up_savings
from ticli.inversion.plan import AUTO, Plan
from ticli.inversion.run_folder import Run
from ticli.inversion.schedule import (
    Evaluation,
    has_exploded,
    is_better,
    last_step,
    should_cool_down,
)
from ticli.inversion.state import Finished, TrainingState, new_state, rows_of
from ticli.inversion.step import Step, make_learner, take_step
from ticli.inversion.vectors import Start, Vectors, start_vectors
from ticli.models.model import Model
from ticli.models.single_files.probing import settle_prediction

SETTLED, CAPPED, DIVERGED = "settled", "steps", "diverged"


@dataclass
class Training:
    """A run in memory.

    `state` is that of the restart under way, or of the last one if `closed`. `done` says how
    restarts ended, and `winner` is the best of them. `start` holds the vectors of the concept that
    the plan starts from, if any.
    """

    plan: Plan
    run: Run
    model: Model
    examples: Examples
    judge: Judge
    start: Embedding | None
    state: TrainingState
    done: list[Attempt] = field(default_factory=list)
    winner: Finished | None = None
    closed: bool = False
    seconds_before: float = 0.0
    began: float = field(default_factory=time.monotonic)
    init_words: tuple[WordLoss, ...] = ()
    learner: Learner | None = None

    @property
    def seed(self) -> int:
        """The seed of the restart under way: the first has the plan's, each other the next."""
        return self.plan.seed + len(self.done)

    @property
    def seconds(self) -> float:
        """Seconds spent on this run in all."""
        return self.seconds_before + time.monotonic() - self.began

    @property
    def steps(self) -> int:
        """Steps taken in all restarts."""
        before = sum(attempt.steps for attempt in self.done)
        return before if self.closed else before + self.state.step

    @property
    def total(self) -> int:
        """Steps of the whole run if nothing changes: a restart may still end early."""
        recipe = self.plan.recipe
        if self.closed:
            return self.steps + (recipe.restarts - len(self.done)) * recipe.steps
        left = last_step(recipe, self.state.cooling) - self.state.step
        return self.steps + left + (recipe.restarts - len(self.done) - 1) * recipe.steps

    def vectors_at_start(self, seed: int) -> Vectors:
        """The vectors with which a restart of this seed begins, before any warm start."""
        return _start(self.model, self.plan, self.start, seed)

    def save(self) -> None:
        """Write a checkpoint."""
        keep_savings(self.run.path, self.model)
        save_checkpoint(self.run.checkpoint, self, self.seconds)

    def rows(self) -> dict[str, dict[str, torch.Tensor]]:
        """The concept's vectors as they are now, by concept and encoder."""
        count = self.plan.recipe.vectors_at(self.state.step)
        rows = {key: row.detach()[:count] for key, row in self.state.word.rows.items()}
        return {self.plan.token.name: rows}

    def next_learner(self) -> Learner | None:
        """The learner that takes the run's next step; None after the last restart.

        A restart is evaluated before its first step. Raises Diverged if no restart ended well.
        """
        recipe = self.plan.recipe
        while True:
            if self.closed:
                if len(self.done) >= recipe.restarts:
                    return None
                vectors = _start(self.model, self.plan, self.start, self.seed, warm=True)
                self.state, self.closed = new_state(vectors, recipe), False
            try:
                if not self.state.evaluations:
                    self._note_evaluation()
            except Diverged as error:
                self._give_up(error)
                continue
            if self.state.step < last_step(recipe, self.state.cooling):
                if self.learner is None or self.learner.state is not self.state:
                    self.learner = make_learner(
                        self.model, self.examples, self.state, recipe, self.seed
                    )
                return self.learner
            self._close()

    def take_step(self, learner: Learner, loss: float, began: float) -> Step | None:
        """Take the step whose gradient is on the learner's rows; `began` is its monotonic time.

        None if the restart diverged and others are left. Raises Diverged if none is.
        """
        try:
            return take_step(learner, loss, began)
        except Diverged as error:
            self._give_up(error)
            return None

    @property
    def evaluation_is_due(self) -> bool:
        """Whether an evaluation follows the step that was taken."""
        recipe, step = self.plan.recipe, self.state.step
        last = step == last_step(recipe, self.state.cooling)
        return last or step % evaluation_interval(recipe) == 0

    def finish_step(self, step: Step, found: Evaluation | None = None) -> Step | None:
        """Note the evaluation `found` if one is due; return the step as the run counts it.

        None and Diverged as with `take_step`.
        """
        held_out = None
        try:
            if self.evaluation_is_due:
                held_out = self._note_evaluation(found)
        except Diverged as error:
            self._give_up(error)
            return None
        return replace(step, index=self.steps, total=self.total, held_out=held_out)

    def _note_evaluation(self, found: Evaluation | None = None) -> float:
        """Note an evaluation, made now unless it is given; return its held-out loss.

        Raises Diverged if the loss exploded once too often.
        """
        recipe, state = self.plan.recipe, self.state

        def now() -> Evaluation:
            return evaluate(self.model, [(self.judge, state.word, state.step)])[0]

        found = found or now()
        if has_exploded(found, state.evaluations):
            state.go_back(recipe, f"the held-out loss came to {found.held_out:g}")
            found = now()
        state.evaluations.append(found)
        state.mark_good()
        # While vectors are still to join, or have just joined, the concept is incomplete.
        if recipe.vectors_at(max(0, state.step - 1)) == recipe.vectors:
            if is_better(found, state.best[0] if state.best else None, recipe.drift_limit):
                state.best = found, rows_of(state.word)
            if state.cooling is None and should_cool_down(state.evaluations, recipe):
                state.cooling = state.step
        return found.held_out

    def _close(self) -> None:
        """End the restart under way: its last vectors, or its best ones, may be the run's best."""
        recipe, state = self.plan.recipe, self.state
        kept, rows = state.evaluations[-1], rows_of(state.word)
        if recipe.keep == "best" and state.best is not None:
            kept, rows = state.best[0], dict(state.best[1])
        # A fall that the cap cut off, or that ended with it, did not end the run.
        stopped = SETTLED if last_step(recipe, state.cooling) < recipe.steps else CAPPED
        attempt = Attempt(self.seed, state.step, stopped, kept.step, kept.held_out)
        self.done.append(attempt)
        self.closed = True
        if is_better(kept, self.winner.kept if self.winner else None, recipe.drift_limit):
            self.winner = Finished(
                attempt,
                kept,
                rows,
                tuple(state.evaluations),
                tuple(state.losses),
                state.skipped,
                state.restores,
            )

    def _give_up(self, error: Diverged) -> None:
        """End a restart that diverged; raise its error if none ended well and none is left."""
        self.done.append(Attempt(self.seed, self.state.step, DIVERGED, None, None))
        self.closed = True
        if self.winner is None and len(self.done) == self.plan.recipe.restarts:
            raise error


def begin_training(
    plan: Plan,
    run: Run,
    model: Model,
    start: Embedding | None,
    tell: Callable[[str], None] = lambda text: None,
) -> Training:
    """Encode the run's photos, and restore its checkpoint if there is one.

    `tell` hears what takes long before the first step. Raises Usage if a sentence is too long for
    its placeholder, ModelUnavailable, BadContent and DeviceFailed.
    """
    began = time.monotonic()
    with memory_of(plan):
        take_up_savings(run.path, model)
        photos = encode(plan, run, model)
        if found := settle_prediction(model, photos.learned.mean[:, 0]):
            tell(found)
        init_words: tuple[WordLoss, ...] = ()
        if plan.recipe.init == AUTO:
            init_words = choose_init(plan, run, model, photos.learned, tell)
            plan = settled_plan(plan, init_words[0].word)
        examples = build_examples(model, plan, photos)
        resumed = run.checkpoint.exists()
        vectors = _start(model, plan, start, plan.seed, warm=not resumed)
        judge = make_judge(model, plan, photos, _start(model, plan, start, plan.seed))
    state = new_state(vectors, plan.recipe)
    training = Training(
        plan, run, model, examples, judge, start, state, began=began, init_words=init_words
    )
    if resumed:
        training.seconds_before = restore_checkpoint(run.checkpoint, training)
    return training


def _start(
    model: Model, plan: Plan, embedding: Embedding | None, seed: int, warm: bool = False
) -> Vectors:
    """The vectors of a restart, moved by the recipe's warm start if `warm`."""
    recipe = plan.recipe
    start = Start(
        recipe.init,
        recipe.vectors,
        recipe.norm,
        seed,
        embedding,
        init_from=recipe.init_from,
        photos=trained_photos(plan) if recipe.photo_words else 0,
        negative=recipe.negative_vectors,
        norm_pull=recipe.norm_pull,
    )
    vectors = start_vectors(model, start)
    if recipe.warm_start and warm:
        warm_start(model, plan, vectors, seed)
    return vectors
