"""One run from its plan to its last step: load, encode, train with evaluations and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ticli.concept import Embedding
from ticli.errors import Diverged, Stopped
from ticli.inversion.attempts import Attempts
from ticli.inversion.batches import Learner
from ticli.inversion.checkpoint import restore_checkpoint, save_checkpoint
from ticli.inversion.evaluation import Judge, make_judge
from ticli.inversion.examples import Examples
from ticli.inversion.gradients import gradients
from ticli.inversion.initialising import choose_init, settled_plan
from ticli.inversion.loop import Step
from ticli.inversion.plan import Plan
from ticli.inversion.preparing import Prepared, encode, prepare_examples, trained_photos
from ticli.inversion.rates import last_step
from ticli.inversion.runs import Run, finish
from ticli.inversion.settling import AUTO
from ticli.inversion.starting import Start
from ticli.inversion.state import TrainingState, new_state
from ticli.inversion.thrift import keep_savings, load_sparingly, memory_of, take_up_savings
from ticli.inversion.tries import next_learner, take_next
from ticli.inversion.vectors import Vectors, start_vectors
from ticli.inversion.warm_start import warm_start
from ticli.models.hardware import Hardware
from ticli.models.model import Model
from ticli.models.single_files.probing import settle_prediction
from ticli.outcome import WordLoss

CHECKPOINT_SECONDS = 5.0


@dataclass
class Learning:
    """A run in memory: everything loaded, standing at `attempts.steps`."""

    plan: Plan
    run: Run
    model: Model
    prepared: Prepared
    judge: Judge
    start: Embedding | None
    attempts: Attempts
    seconds_before: float
    began: float
    init_words: tuple[WordLoss, ...] = ()
    learner: Learner | None = None

    @property
    def examples(self) -> Examples:
        """What the word is trained on."""
        return self.prepared.examples

    @property
    def state(self) -> TrainingState:
        """The try under way, or the last one."""
        return self.attempts.state

    @property
    def seconds(self) -> float:
        """Time spent on this run in all, seconds."""
        return self.seconds_before + time.monotonic() - self.began

    @property
    def total(self) -> int:
        """Steps of the whole run if it goes on as it stands: a try may still end early."""
        recipe, attempts = self.plan.recipe, self.attempts
        if attempts.closed:
            return attempts.steps + (recipe.restarts - len(attempts.done)) * recipe.steps
        left = last_step(recipe, self.state.cooling) - self.state.step
        return attempts.steps + left + (recipe.restarts - len(attempts.done) - 1) * recipe.steps

    def new_try(self, seed: int) -> TrainingState:
        """The state that a try of this seed begins with."""
        return new_state(_start(self.model, self.plan, self.start, seed), self.plan.recipe)

    def started(self, seed: int) -> Vectors:
        """The vectors that a try of this seed begins with, before any warm start."""
        return _start(self.model, self.plan, self.start, seed, anew=False)

    def save(self) -> None:
        """Write a checkpoint of the step the run stands at."""
        keep_savings(self.run.path, self.model)
        save_checkpoint(self.run.checkpoint, self.attempts, self.seconds)

    def rows(self) -> dict[str, dict[str, torch.Tensor]]:
        """The vectors that the word has now, by concept and encoder."""
        count = self.plan.recipe.vectors_at(self.state.step)
        rows = {key: row.detach()[:count] for key, row in self.state.word.rows.items()}
        return {self.plan.token.name: rows}


def begin(
    plan: Plan,
    run: Run,
    hardware: Hardware,
    start: Embedding | None,
    tell: Callable[[str], None] = lambda text: None,
) -> Learning:
    """Load the model and make a run on it ready, as `make_ready` does."""
    with memory_of(plan):
        load = (plan.recipe.size, plan.recipe.batch)
        model = load_sparingly(plan.source, hardware, load, tell)
    return make_ready(plan, run, model, start, tell)


def make_ready(
    plan: Plan,
    run: Run,
    model: Model,
    start: Embedding | None,
    tell: Callable[[str], None] = lambda text: None,
) -> Learning:
    """Load the run's photos, and put its checkpoint back if there is one.

    `start` are the vectors of the concept to begin from, where the plan names one. Raises Usage
    where a sentence is too long for its placeholder, and ModelUnavailable, BadContent and
    DeviceFailed. What takes long before the first step is told to `tell`.
    """
    began = time.monotonic()
    with memory_of(plan):
        take_up_savings(run.path, model)
        encoded = encode(plan, run, model)
        found = settle_prediction(model, encoded.learned.mean[:, 0])
        if found:
            tell(found)
        init_words: tuple[WordLoss, ...] = ()
        if plan.recipe.init == AUTO:
            init_words = choose_init(plan, run, model, encoded.learned, tell)
            plan = settled_plan(plan, init_words[0].word)
        prepared = prepare_examples(plan, model, encoded)
        vectors = _start(model, plan, start, plan.seed, anew=not run.checkpoint.exists())
        attempts = Attempts(new_state(vectors, plan.recipe))
        unmoved = _start(model, plan, start, plan.seed, anew=False)
        judge = make_judge(model, plan, prepared.held_out, unmoved)
    seconds = restore_checkpoint(run.checkpoint, attempts) if run.checkpoint.exists() else 0.0
    return Learning(plan, run, model, prepared, judge, start, attempts, seconds, began, init_words)


def advance(learning: Learning, signalled: Callable[[], int | None]) -> Iterator[Step]:
    """Train to the end, with a checkpoint every few seconds and one when a signal comes.

    Steps are counted over all tries. Raises Stopped after that checkpoint, DeviceFailed where
    memory runs out, and Diverged where no try ended well: then there is nothing to continue, and
    the run is thrown away.
    """
    plan = learning.plan
    saved = time.monotonic()
    with memory_of(plan), thrown_away_if_diverged(learning.run):
        for step in _steps(learning):
            yield step
            number = signalled()
            if number is not None:
                learning.save()
                raise Stopped(
                    f"stopped; {plan.token.text} is kept at step {step.index} of {step.total}",
                    "the same command again continues it",
                    signal_number=number,
                )
            if time.monotonic() - saved >= CHECKPOINT_SECONDS:
                learning.save()
                saved = time.monotonic()
    learning.save()


def _steps(learning: Learning) -> Iterator[Step]:
    """The steps of every try that is left."""
    while (learner := next_learner(learning)) is not None:
        began = time.monotonic()
        (loss,) = gradients(learning.model, [learner])
        step = take_next(learning, learner, loss, began)
        if step is not None:
            yield step


@contextmanager
def thrown_away_if_diverged(run: Run) -> Iterator[None]:
    """Remove a run that cannot be continued."""
    try:
        yield
    except Diverged:
        finish(run)
        raise


def _start(
    model: Model, plan: Plan, embedding: Embedding | None, seed: int, anew: bool = True
) -> Vectors:
    """The vectors of a try; a run that is continued needs no warm start, for it had one."""
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
    if recipe.warm_start and anew:
        warm_start(model, plan, vectors, seed)
    return vectors
