"""Words that learn side by side on one model: as many at a time as there are seats."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from ticli.concept import Embedding
from ticli.errors import Diverged, Stopped
from ticli.inversion.batches import Learner
from ticli.inversion.fillers import Fillers
from ticli.inversion.gradients import gradients
from ticli.inversion.judging import Trial, evaluate_together
from ticli.inversion.learning import CHECKPOINT_SECONDS, Learning, make_ready
from ticli.inversion.loop import Step
from ticli.inversion.plan import Plan
from ticli.inversion.preparing import encode_ahead
from ticli.inversion.runs import Run, finish, open_run
from ticli.inversion.seats import seats
from ticli.inversion.stopping import Evaluation
from ticli.inversion.surveying import OF_ONE_WORD, Refused
from ticli.inversion.thrift import load_sparingly, memory_of
from ticli.inversion.tries import is_due, judged, next_learner, take
from ticli.models.hardware import Hardware
from ticli.models.model import Model
from ticli.names import Token
from ticli.paths import places


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
