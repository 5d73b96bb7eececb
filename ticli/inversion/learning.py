"""One run from its plan to its last step: load, encode, train with evaluations and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import torch

from ticli.concept import Embedding
from ticli.errors import Diverged, Stopped
from ticli.inversion.attempts import Attempts
from ticli.inversion.checkpoint import restore_checkpoint, save_checkpoint
from ticli.inversion.evaluation import Judge, evaluation_interval, make_judge
from ticli.inversion.examples import Examples
from ticli.inversion.initialising import choose_init, settled_plan
from ticli.inversion.loop import Step, train
from ticli.inversion.plan import AUTO, Plan
from ticli.inversion.preparing import Prepared, encode, prepare_examples, trained_photos
from ticli.inversion.rates import last_step
from ticli.inversion.runs import Run, finish
from ticli.inversion.snapshots import rows_of
from ticli.inversion.starting import Start
from ticli.inversion.state import TrainingState, new_state
from ticli.inversion.stopping import has_exploded, is_better, should_cool_down
from ticli.inversion.vectors import Vectors, start_vectors
from ticli.inversion.warm_start import warm_start
from ticli.models.hardware import Hardware
from ticli.models.memory import memory_explained
from ticli.models.model import Model, load_model
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

    def save(self) -> None:
        """Write a checkpoint of the step the run stands at."""
        save_checkpoint(self.run.checkpoint, self.attempts, self.seconds)

    def rows(self) -> dict[str, dict[str, torch.Tensor]]:
        """The vectors that the word has now, by concept and encoder."""
        count = self.plan.recipe.vectors_at(self.state.step)
        rows = {key: row.detach()[:count] for key, row in self.state.vectors.rows.items()}
        return {self.plan.token.name: rows}


def begin(
    plan: Plan,
    run: Run,
    hardware: Hardware,
    start: Embedding | None,
    tell: Callable[[str], None] = lambda text: None,
) -> Learning:
    """Load the model and the run's photos, and put its checkpoint back if there is one.

    `start` are the vectors of the concept to begin from, where the plan names one. Raises Usage
    where a sentence is too long for its placeholder, and ModelUnavailable, BadContent and
    DeviceFailed. What takes long before the first step is told to `tell`.
    """
    began = time.monotonic()
    with _memory(plan):
        model = load_model(plan.source, hardware)
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
        judge = make_judge(model, plan, prepared.held_out, vectors)
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
    with _memory(plan), _thrown_away_if_diverged(learning.run):
        for step in _tries(learning):
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


@contextmanager
def _thrown_away_if_diverged(run: Run) -> Iterator[None]:
    try:
        yield
    except Diverged:
        finish(run)
        raise


def _tries(learning: Learning) -> Iterator[Step]:
    """The steps of every try that is left."""
    plan, attempts = learning.plan, learning.attempts
    while True:
        seed = attempts.seed(plan.seed)
        if not attempts.closed:
            try:
                yield from _try(learning, seed)
                attempts.close(plan.recipe, seed)
            except Diverged:
                attempts.give_up(seed)
                if attempts.winner is None and len(attempts.done) == plan.recipe.restarts:
                    raise
        if len(attempts.done) >= plan.recipe.restarts:
            return
        seed = attempts.seed(plan.seed)
        vectors = _start(learning.model, plan, learning.start, seed)
        attempts.open(new_state(vectors, plan.recipe))


def _try(learning: Learning, seed: int) -> Iterator[Step]:
    """The steps of one try, evaluated at the recipe's interval, at its start and at its end."""
    recipe, state = learning.plan.recipe, learning.state
    interval = evaluation_interval(recipe)
    if not state.evaluations:
        _evaluate(learning)
    for step in train(learning.model, learning.examples, state, recipe, seed):
        began = time.monotonic()
        held_out = None
        if state.step % interval == 0 or state.step == last_step(recipe, state.cooling):
            held_out = _evaluate(learning)
        spent = step.seconds + time.monotonic() - began
        yield replace(
            step,
            index=learning.attempts.steps,
            total=learning.total,
            seconds=spent,
            held_out=held_out,
        )


def _evaluate(learning: Learning) -> float:
    """Judge the vectors, and note what follows: good, best, settled, or exploded."""
    recipe, state = learning.plan.recipe, learning.state
    found = learning.judge.evaluate(state.vectors, state.step)
    if has_exploded(found, state.evaluations):
        state.go_back(recipe, f"the held-out loss came to {found.held_out:g}")
        found = learning.judge.evaluate(state.vectors, state.step)
    state.evaluations.append(found)
    state.mark_good()
    # A word of which vectors are still to join, or have just joined, is not the one asked for.
    if recipe.vectors_at(max(0, state.step - 1)) == recipe.vectors:
        if is_better(found, state.best[0] if state.best else None, recipe.drift_limit):
            state.best = found, rows_of(state.vectors)
        if state.cooling is None and should_cool_down(state.evaluations, recipe):
            state.cooling = state.step
    return found.held_out


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


def _memory(plan: Plan) -> AbstractContextManager[None]:
    recipe = plan.recipe
    return memory_explained(
        f"out of memory with {recipe.batch} pictures of {recipe.size} pixels a batch",
        f"use --batch {max(1, recipe.batch // 2)} --accumulate {recipe.accumulate * 2}, which "
        "learns the same in smaller pieces, or a smaller --size",
    )
