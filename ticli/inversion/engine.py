"""Learn concepts side by side on one model; one concept alone is the same with k = 1."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ticli.errors import Diverged, Stopped, TiError
from ticli.inversion.checkpoint import CHECKPOINT_SECONDS
from ticli.inversion.evaluation import evaluate
from ticli.inversion.examples import encode_ahead
from ticli.inversion.loss import Learner
from ticli.inversion.low_memory import load_sparingly, memory_of
from ticli.inversion.plan import OF_ONE_CONCEPT, Plan, Request, make_plan
from ticli.inversion.recorded_steps import replayer_for
from ticli.inversion.run_folder import Run, finish, open_run
from ticli.inversion.step import Step, gradients
from ticli.inversion.training import Training, begin_training
from ticli.library.library import Library
from ticli.models.folder import ModelSource
from ticli.models.hardware import Hardware
from ticli.models.memory import free_memory
from ticli.models.memory_estimate import Demand, measure_demand
from ticli.models.memory_ladder import LOW, NONE, Savings
from ticli.models.model import Model
from ticli.names import Token, parse_token
from ticli.paths import places

# What recording a step takes, in steps: a plain one, the warm-up, the capture itself.
RECORDING = 8.0
# More concepts at a time slow each step as much as they save: measured on the starter.
MOST, MOST_ON_CUDA = 4, 16

Tell = Callable[[str], None]
Signalled = Callable[[], int | None]


@dataclass(frozen=True)
class TrainingEvent:
    """What has happened to one concept.

    `began`: its photos are encoded and its checkpoint is restored. `step`: it took a step.
    `ended`: it took all its steps; its run stays locked until the next event is asked for.
    `failed`: it cannot be learned, for the reason in `error`; the others go on.
    """

    kind: Literal["began", "step", "ended", "failed"]
    token: Token
    training: Training | None = None
    step: Step | None = None
    error: TiError | None = None


@dataclass
class IdleLearners:
    """Learners of concepts that have ended, kept in the batch so that its recorded step still fits.

    Their gradients go nowhere. They leave once they have cost as much as recording the smaller
    batch would, so no order of endings costs more than twice what it must. `size` is the batch's
    size in concepts, `wasted` what idle learners have cost since the last recording, in steps.
    """

    left: list[Learner] = field(default_factory=list)
    size: int = 0
    wasted: float = 0.0

    def beside(self, model: Model, going: Sequence[Learner]) -> list[Learner]:
        """The idle learners that fill the batch; none if steps are not recorded."""
        if model.replayer is None or model.replayer.broken:
            self.left.clear()
            return []
        # A concept that joined takes the place of an idle one.
        del self.left[max(0, self.size - len(going)) :]
        self.wasted += len(self.left) / (len(going) + len(self.left))
        if self.wasted > RECORDING:
            self.left.clear()
            self.wasted = 0.0
        self.size = len(going) + len(self.left)
        return list(self.left)


def most_at_a_time(
    source: ModelSource, hardware: Hardware, load: tuple[int, int], concepts: int
) -> int:
    """How many concepts learn at a time: as many as fit into memory, up to a limit.

    `load` is the pixels a side of a concept's pictures, and how many are in its batch.
    """
    size, batch = load
    most = min(concepts, MOST_ON_CUDA if hardware.device.type == "cuda" else MOST)
    free = free_memory(hardware.device)
    if most == 1 or free is None:
        return most
    demand = measure_demand(source, hardware.dtype, size, hardware.device)
    return fitting(demand, batch, LOW if hardware.low_memory else NONE, (most, free))


def fitting(demand: Demand, batch: int, stage: Savings, limits: tuple[int, int]) -> int:
    """How many concepts' batches fit side by side; `limits` are the most, and the free bytes."""
    most, free = limits
    counts = (count for count in range(most, 1, -1) if demand.need(stage, batch * count) <= free)
    return next(counts, 1)


@dataclass
class Engine:
    """A loaded model that learns concepts, at most `most` at a time, with runs in `runs`.

    `tell` hears what a user should know. `fresh` throws unfinished runs away.
    """

    model: Model
    library: Library
    runs: Path
    most: int
    tell: Tell = lambda text: None
    fresh: bool = False
    held: list[tuple[Plan, Run]] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)
    locks: dict[str, ExitStack] = field(default_factory=dict)
    idle: IdleLearners = field(default_factory=IdleLearners)

    def learn(
        self, concepts: Sequence[Plan | Request], signalled: Signalled = lambda: None
    ) -> Generator[TrainingEvent, None, None]:
        """Learn all concepts; the next one begins as soon as another has ended.

        Each comes out as it would alone: draws, clipping, evaluations, stopping and checkpoints are
        its own. A Request is planned when its turn comes, so that few photos are in memory. Raises
        Stopped once all have a checkpoint, and whatever concerns more than one concept.
        """
        waiting = deque(concepts)
        alone = len(concepts) + len(self.trainings) == 1
        saved = time.monotonic()
        try:
            while waiting or self.trainings:
                for event in self._begin(waiting):
                    yield event
                    self._stop_if(signalled, len(waiting), alone)
                for event in self._round(bool(waiting)):
                    yield event
                self._stop_if(signalled, len(waiting), alone)
                if time.monotonic() - saved >= CHECKPOINT_SECONDS:
                    self._save()
                    saved = time.monotonic()
        finally:
            for lock in self.locks.values():
                lock.close()
            self.locks.clear()

    def _begin(self, waiting: deque[Plan | Request]) -> Iterator[TrainingEvent]:
        """Let waiting concepts begin while there is room; their photos are encoded together."""
        while waiting and len(self.trainings) + len(self.held) < self.most:
            concept = waiting.popleft()
            try:
                self.held.append(self._hold(concept))
            except OF_ONE_CONCEPT as error:
                token = concept.token if isinstance(concept, Plan) else parse_token(concept.token)
                yield TrainingEvent("failed", token, error=error)
        if len(self.held) > 1:
            with memory_of(self.held[0][0]):
                encode_ahead(self.model, self.held)
        while self.held:
            plan, run = self.held[0]
            start = self.library.embedding(plan.start) if plan.start else None
            try:
                training = begin_training(plan, run, self.model, start, self.tell)
            except OF_ONE_CONCEPT as error:
                del self.held[0]
                self.locks.pop(plan.token.name).close()
                yield TrainingEvent("failed", plan.token, error=error)
                continue
            del self.held[0]
            self.trainings.append(training)
            yield TrainingEvent("began", plan.token, training)

    def _hold(self, concept: Plan | Request) -> tuple[Plan, Run]:
        """Plan a concept and lock its run."""
        plan = concept if isinstance(concept, Plan) else make_plan(concept, self.library)
        with ExitStack() as opened:
            name = plan.token.name
            run = opened.enter_context(open_run(self.runs, name, plan.identity(), fresh=self.fresh))
            self.locks[name] = opened.pop_all()
        return plan, run

    def _leave(self, training: Training) -> None:
        self.trainings.remove(training)
        name = training.plan.token.name
        # A training that was handed over is locked by whoever did so.
        if name in self.locks:
            self.locks.pop(name).close()

    def _round(self, others: bool) -> Iterator[TrainingEvent]:
        """Take one step of every concept, and end those that have none left.

        If others wait for such a place, they begin first.
        """
        began = time.monotonic()
        going: list[tuple[Training, Learner]] = []
        for training in list(self.trainings):
            try:
                with memory_of(training.plan):
                    learner = training.next_learner()
            except Diverged as error:
                yield self._diverged(training, error)
                continue
            if learner is not None:
                going.append((training, learner))
                continue
            training.save()
            yield TrainingEvent("ended", training.plan.token, training)
            self._leave(training)
            if training.learner is not None:
                self.idle.left.append(training.learner)
        if others and len(self.trainings) < self.most:
            return
        if going:
            with memory_of(going[0][0].plan):
                events = self._steps(going, began)
            spent = time.monotonic() - began
            for event in events:
                if event.step is not None:
                    event = replace(event, step=replace(event.step, seconds=spent))
                yield event

    def _steps(
        self, going: Sequence[tuple[Training, Learner]], began: float
    ) -> list[TrainingEvent]:
        """Take the step of every concept, and evaluate together those that are due."""
        events: list[TrainingEvent] = []
        taken: list[tuple[Training, Step]] = []
        learners = [learner for _, learner in going]
        batch = [*learners, *self.idle.beside(self.model, learners)]
        losses = gradients(self.model, batch, replayer_for)
        for (training, learner), loss in zip(going, losses, strict=False):
            try:
                step = training.take_step(learner, loss, began)
            except Diverged as error:
                events.append(self._diverged(training, error))
                continue
            if step is not None:
                taken.append((training, step))
        due = [training for training, _ in taken if training.evaluation_is_due]
        trials = [(each.judge, each.state.word, each.state.step) for each in due]
        evaluations = evaluate(self.model, trials) if trials else []
        found = {each.plan.token.name: e for each, e in zip(due, evaluations, strict=True)}
        for training, step in taken:
            token = training.plan.token
            try:
                own = training.finish_step(step, found.get(token.name))
            except Diverged as error:
                events.append(self._diverged(training, error))
                continue
            if own is not None:
                events.append(TrainingEvent("step", token, training, own))
        return events

    def _diverged(self, training: Training, error: Diverged) -> TrainingEvent:
        """Throw away a run that diverged: it cannot be continued."""
        finish(training.run)
        self._leave(training)
        return TrainingEvent("failed", training.plan.token, error=error)

    def _save(self) -> None:
        for training in self.trainings:
            training.save()

    def _stop_if(self, signalled: Signalled, waiting: int, alone: bool) -> None:
        number = signalled()
        if number is None:
            return
        self._save()
        kept = [
            f"{training.plan.token.text} at step {training.steps} of {training.total}"
            for training in self.trainings
        ]
        later = waiting + len(self.held)
        if alone and kept:
            said, hint = kept[0].replace(" at step", " is kept at step"), "continues it"
        else:
            rest = [f"kept: {', '.join(kept)}"] * bool(kept) + [f"{later} not begun"] * bool(later)
            said, hint = "; ".join(rest), "continues"
        raise Stopped(f"stopped; {said}", f"the same command again {hint}", signal_number=number)


def open_engine(
    heaviest: Plan,
    hardware: Hardware,
    library: Library,
    concepts: int = 1,
    *,
    most: int | None = None,
    tell: Tell = lambda text: None,
    fresh: bool = False,
) -> Engine:
    """Load the model for so many concepts, and decide how many of them learn at a time.

    `heaviest` is the plan that needs most memory. With `most` None, as many learn at a time as fit
    and save time. Raises ModelUnavailable and DeviceFailed.
    """
    recipe, source = heaviest.recipe, heaviest.source
    with memory_of(heaviest):
        load = recipe.size, recipe.batch
        most = min(concepts, most or most_at_a_time(source, hardware, load, concepts))
        model = load_sparingly(source, hardware, (recipe.size, recipe.batch * most), tell)
    if most < concepts:
        tell(f"{concepts} concepts, {most} at a time")
    return Engine(model, library, places().runs, most, tell, fresh)
