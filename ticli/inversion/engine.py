"""One run from its plan to its last step: load, encode, train with evaluations and checkpoints."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ticli.concept import Embedding, WordLoss
from ticli.errors import Diverged, Stopped
from ticli.inversion.checkpoint import restore_checkpoint, save_checkpoint
from ticli.inversion.evaluation import Judge, Trial, evaluate_together, make_judge
from ticli.inversion.examples import (
    Examples,
    Prepared,
    encode,
    encode_ahead,
    prepare_examples,
    trained_photos,
)
from ticli.inversion.first_guess import choose_init, settled_plan, warm_start
from ticli.inversion.loss import Learner
from ticli.inversion.low_memory import keep_savings, load_sparingly, memory_of, take_up_savings
from ticli.inversion.plan import AUTO, OF_ONE_WORD, Plan, Refused
from ticli.inversion.restarts import is_due, judged, next_learner, take, take_next
from ticli.inversion.run_folder import Run, finish, open_run
from ticli.inversion.schedule import Evaluation, last_step
from ticli.inversion.state import Attempts, TrainingState, new_state
from ticli.inversion.step import Step, gradients
from ticli.inversion.vectors import Start, Vectors, start_vectors
from ticli.models.folder import ModelSource
from ticli.models.hardware import Hardware
from ticli.models.memory import free_memory
from ticli.models.memory_estimate import Demand, measure_demand
from ticli.models.memory_ladder import LOW, NONE, Savings
from ticli.models.model import Model
from ticli.models.single_files.probing import settle_prediction
from ticli.names import Token
from ticli.paths import places

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
        for step in _steps_of_one(learning):
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


def _steps_of_one(learning: Learning) -> Iterator[Step]:
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


# Words that have ended and stay in the batch, where another shape would have to be recorded.

# Steps that recording one takes: a plain one, those that warm up, the capture itself.
RECORDING = 8.0


@dataclass
class Fillers:
    """Learners whose gradients go nowhere, so that a recorded step can still be replayed.

    They are let go once they have cost as much as recording the smaller batch does: then no order
    of endings costs more than twice what it has to. `size` is the batch's in words, `wasted` what
    the fillers have cost since the last recording, in steps.
    """

    left: list[Learner] = field(default_factory=list)
    size: int = 0
    wasted: float = 0.0

    def beside(self, model: Model, going: Sequence[Learner]) -> list[Learner]:
        """Who fills the batch up beside the words that are going; nobody where none is recorded."""
        if model.replayer is None or model.replayer.broken:
            self.left.clear()
            return []
        # A seat that was taken again needs no filler.
        del self.left[max(0, self.size - len(going)) :]
        self.wasted += len(self.left) / (len(going) + len(self.left))
        if self.wasted > RECORDING:
            self.left.clear()
            self.wasted = 0.0
        self.size = len(going) + len(self.left)
        return list(self.left)


# How many words learn at a time on a device.

# With more, a step takes in proportion longer and nothing is won: measured on the starter.
MOST, MOST_ON_CUDA = 4, 16


def seats(source: ModelSource, hardware: Hardware, load: tuple[int, int], words: int) -> int:
    """How many of the words learn at a time: as many as fit into memory, to a limit.

    `load` is the pixels a side of a word's pictures, and how many are in its batch.
    """
    size, batch = load
    most = min(words, MOST_ON_CUDA if hardware.device.type == "cuda" else MOST)
    free = free_memory(hardware.device)
    if most == 1 or free is None:
        return most
    demand = measure_demand(source, hardware.dtype, size, hardware.device)
    return fitting(demand, batch, LOW if hardware.low_memory else NONE, (most, free))


def fitting(demand: Demand, batch: int, stage: Savings, limits: tuple[int, int]) -> int:
    """How many words' batches fit side by side; `limits` are the most of them, and free bytes."""
    most, free = limits
    counts = (count for count in range(most, 1, -1) if demand.need(stage, batch * count) <= free)
    return next(counts, 1)


# Words that learn side by side on one model: as many at a time as there are seats.


@dataclass(frozen=True)
class Entrant:
    """A word that is to be learned; `ready` makes its plan, and the vectors it starts from.

    Only then are its photos in memory. `fresh` throws an unfinished run of it away.
    """

    token: Token
    ready: Callable[[], tuple[Plan, Embedding | None]]
    fresh: bool = False


@dataclass(frozen=True)
class Joined:
    """A word has taken a seat, with its photos encoded and its checkpoint put back."""

    learning: Learning


@dataclass(frozen=True)
class Stepped:
    """A word has taken a step."""

    learning: Learning
    step: Step


@dataclass(frozen=True)
class Ended:
    """A word has taken all its steps; its run is held until the next event is asked for."""

    learning: Learning


Event = Joined | Stepped | Ended | Refused


@dataclass(frozen=True, eq=False)
class _Held:
    """A word whose run is held and that is not ready yet."""

    plan: Plan
    start: Embedding | None
    run: Run
    lock: ExitStack


@dataclass(frozen=True, eq=False)
class _Seat:
    """A word that is learning, and the lock of its run."""

    learning: Learning
    lock: ExitStack


@dataclass
class Course:
    """Where words learn together: the model, where runs are kept, how many words at a time.

    What a user should hear is told to `tell`.
    """

    model: Model
    runs: Path
    most: int
    tell: Callable[[str], None] = lambda text: None
    held: list[_Held] = field(default_factory=list)
    seats: list[_Seat] = field(default_factory=list)
    fillers: Fillers = field(default_factory=Fillers)

    def leave(self, seat: _Seat) -> None:
        """Free a seat and the lock of its word's run."""
        self.seats.remove(seat)
        seat.lock.close()


def open_course(
    heaviest: Plan,
    hardware: Hardware,
    words: tuple[int, int | None],
    tell: Callable[[str], None] = lambda text: None,
) -> Course:
    """Load the model of so many words, and say how many of them learn at a time.

    `heaviest` is the plan that needs most memory. `words` are how many there are, and how many are
    to learn at a time, None for as many as pay and fit. Raises as begin does.
    """
    count, asked = words
    recipe, source = heaviest.recipe, heaviest.source
    with memory_of(heaviest):
        most = min(count, asked or seats(source, hardware, (recipe.size, recipe.batch), count))
        load = recipe.size, recipe.batch * most
        model = load_sparingly(source, hardware, load, tell)
    if most < count:
        tell(f"{count} words, {most} at a time")
    return Course(model, places().runs, most, tell)


def learn_together(
    course: Course, entrants: Sequence[Entrant], signalled: Callable[[], int | None]
) -> Generator[Event, None, None]:
    """Learn all the words, the next one sitting down as soon as another has ended.

    Each is learned as it would be alone: draws, clipping, evaluation, stopping and checkpoint are
    its own. Raises Stopped after all have a checkpoint, and what concerns not one word alone.
    """
    waiting = deque(entrants)
    saved = time.monotonic()
    try:
        while waiting or course.seats:
            for event in _filled(course, waiting):
                yield event
                _stop_where_signalled(course, signalled, len(waiting))
            yield from _round(course, bool(waiting))
            _stop_where_signalled(course, signalled, len(waiting))
            if time.monotonic() - saved >= CHECKPOINT_SECONDS:
                _save(course)
                saved = time.monotonic()
    finally:
        for lock in [*(word.lock for word in course.held), *(seat.lock for seat in course.seats)]:
            lock.close()


def _filled(course: Course, waiting: deque[Entrant]) -> Iterator[Joined | Refused]:
    """Give free seats to waiting words, whose photos are encoded together."""
    while waiting and len(course.seats) + len(course.held) < course.most:
        entrant = waiting.popleft()
        try:
            course.held.append(_held(course, entrant))
        except OF_ONE_WORD as error:
            yield Refused(entrant.token, error)
    if len(course.held) > 1:
        with memory_of(course.held[0].plan):
            encode_ahead(course.model, [(word.plan, word.run) for word in course.held])
    while course.held:
        word = course.held[0]
        try:
            learning = make_ready(word.plan, word.run, course.model, word.start, course.tell)
        except OF_ONE_WORD as error:
            course.held.remove(word)
            word.lock.close()
            yield Refused(word.plan.token, error)
            continue
        course.held.remove(word)
        course.seats.append(_Seat(learning, word.lock))
        yield Joined(learning)


def _held(course: Course, entrant: Entrant) -> _Held:
    """Hold a word's run."""
    plan, start = entrant.ready()
    with ExitStack() as opened:
        held = open_run(course.runs, plan.token.name, plan.identity(), fresh=entrant.fresh)
        run = opened.enter_context(held)
        return _Held(plan, start, run, opened.pop_all())


def _round(course: Course, others: bool) -> Iterator[Event]:
    """One step of every word in a seat; those that have none left give their seat up.

    Where others wait for such a seat they take it first.
    """
    began = time.monotonic()
    going: list[tuple[_Seat, Learner]] = []
    for seat in list(course.seats):
        try:
            with memory_of(seat.learning.plan):
                learner = next_learner(seat.learning)
        except Diverged as error:
            yield _given_up(course, seat, error)
            continue
        if learner is not None:
            going.append((seat, learner))
            continue
        seat.learning.save()
        yield Ended(seat.learning)
        course.leave(seat)
        if seat.learning.learner is not None:
            course.fillers.left.append(seat.learning.learner)
    if others and len(course.seats) < course.most:
        return
    if going:
        with memory_of(going[0][0].learning.plan):
            events = _steps(course, going, began)
        spent = time.monotonic() - began
        for event in events:
            if isinstance(event, Stepped):
                event = replace(event, step=replace(event.step, seconds=spent))
            yield event


def _steps(course: Course, going: Sequence[tuple[_Seat, Learner]], began: float) -> list[Event]:
    """Take the step of every word, and judge those together that are due."""
    events: list[Event] = []
    taken: list[tuple[_Seat, Learner, Step]] = []
    learners = [learner for _, learner in going]
    fillers = course.fillers.beside(course.model, learners)
    losses = gradients(course.model, [*learners, *fillers])
    for (seat, learner), loss in zip(going, losses, strict=False):
        try:
            step = take(seat.learning, learner, loss, began)
        except Diverged as error:
            events.append(_given_up(course, seat, error))
            continue
        if step is not None:
            taken.append((seat, learner, step))
    found = _found(course.model, taken)
    for seat, learner, step in taken:
        try:
            own = judged(seat.learning, learner, step, began, found.get(seat))
        except Diverged as error:
            events.append(_given_up(course, seat, error))
            continue
        if own is not None:
            events.append(Stepped(seat.learning, own))
    return events


def _found(model: Model, taken: Sequence[tuple[_Seat, Learner, Step]]) -> dict[_Seat, Evaluation]:
    """What the words are worth whose step is followed by an evaluation."""
    due = [(seat, learner) for seat, learner, _ in taken if is_due(learner)]
    trials = [
        Trial(seat.learning.judge, learner.state.word, learner.state.step) for seat, learner in due
    ]
    found = evaluate_together(model, trials) if trials else []
    return {seat: own for (seat, _), own in zip(due, found, strict=True)}


def _given_up(course: Course, seat: _Seat, error: Diverged) -> Refused:
    """What diverged cannot be continued: its run is thrown away."""
    finish(seat.learning.run)
    course.leave(seat)
    return Refused(seat.learning.plan.token, error)


def _save(course: Course) -> None:
    for seat in course.seats:
        seat.learning.save()


def _stop_where_signalled(
    course: Course, signalled: Callable[[], int | None], waiting: int
) -> None:
    number = signalled()
    if number is None:
        return
    _save(course)
    learnings = [seat.learning for seat in course.seats]
    kept = ", ".join(
        f"{learning.plan.token.text} at step {learning.attempts.steps} of {learning.total}"
        for learning in learnings
    )
    later = waiting + len(course.held)
    rest = f"{later} not begun" if later else ""
    raise Stopped(
        f"stopped; {'; '.join(part for part in (kept and f'kept: {kept}', rest) if part)}",
        "the same command again continues",
        signal_number=number,
    )
