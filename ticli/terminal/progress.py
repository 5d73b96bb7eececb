"""Progress of concepts that learn, on stderr: bars, a plain line now and then, or JSON lines."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol, Self

from ticli.terminal.output import Output, is_terminal, json_text, say
from ticli.terminal.safe_text import clock, safe_text

ProgressMode = Literal["auto", "plain", "jsonl", "none"]
# An estimate before the third step would be far off.
MEASURED = 3
RECENT = 30
PLAIN_EVERY = 10.0
ALL = "concepts"


class StepLike(Protocol):
    """What a finished step tells: how many are done, and the seconds it took.

    `held_out` is a loss on what is not trained on, where the step was followed by an evaluation.
    """

    @property
    def index(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def norm(self) -> float: ...
    @property
    def seconds(self) -> float: ...
    @property
    def held_out(self) -> float | None: ...


class Writer(Protocol):
    """One way to show steps; `known` is the held-out loss of the last evaluation."""

    def start(self) -> None: ...
    def join(self, name: str, label: str) -> None: ...
    def show(self, name: str, step: StepLike, left: float | None, known: float | None) -> None: ...
    def leave(self, name: str, count: int) -> None: ...
    def stop(self) -> None: ...


class Progress:
    """Show the steps of concepts; a context manager, so that bars always leave the terminal.

    `auto` is bars where stderr is a terminal and plain lines elsewhere. With --quiet only `jsonl`,
    which a program asked for, is written. `concepts` is how many there are; None for a call that
    asks for one alone, which needs no name and no count.
    """

    def __init__(self, mode: ProgressMode, output: Output, concepts: int | None = None) -> None:
        self._writer = _writer(mode, output, concepts)
        self._paces: dict[str, Pace] = {}
        self._ended = 0

    def __enter__(self) -> Self:
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.stop()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bars away while a result is written to the same terminal."""
        self._writer.stop()
        try:
            yield
        finally:
            self._writer.start()

    def join(self, name: str, label: str) -> None:
        """A concept begins, or goes on."""
        self._paces[name] = Pace()
        self._writer.join(name, safe_text(label))

    def update(self, name: str, step: StepLike) -> None:
        """Show a concept's finished step; `step.index` counts from 1."""
        self._writer.show(name, step, *self._paces[name].note(step))

    def leave(self, name: str) -> None:
        """A concept has ended, learned or not; it need not have begun."""
        self._ended += 1
        self._paces.pop(name, None)
        self._writer.leave(name, self._ended)


class Pace:
    """What the steps of one run tell together: how fast they come, the last evaluation."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._measured = 0
        self._held_out: float | None = None

    def note(self, step: StepLike) -> tuple[float | None, float | None]:
        """Take in a step; the seconds left and the last held-out loss, each None if unknown."""
        self._measured += 1
        # The first step fills caches and compiles: the others tell the pace.
        if self._measured > 1:
            self._recent.append(step.seconds)
        if step.held_out is not None:
            self._held_out = step.held_out
        return self._left(step), self._held_out

    def _left(self, step: StepLike) -> float | None:
        """Estimate the seconds to the end from recent steps, once three are measured."""
        if self._measured < MEASURED:
            return None
        return (step.total - step.index) * sum(self._recent) / len(self._recent)


class _Silent:
    """Nothing at all."""

    def start(self) -> None:
        pass

    def join(self, name: str, label: str) -> None:
        pass

    def show(self, name: str, step: StepLike, left: float | None, known: float | None) -> None:
        pass

    def leave(self, name: str, count: int) -> None:
        pass

    def stop(self) -> None:
        pass


class _Lines(_Silent):
    """One JSON object a step, for programs; with the concept's name where there are several."""

    def __init__(self, named: bool) -> None:
        self._named = named

    def show(self, name: str, step: StepLike, left: float | None, known: float | None) -> None:
        say(json_text(({"name": name} if self._named else {}) | fields_of(step, left)))


class _Plain(_Silent):
    """A concept's first step, its last one, and one line about every ten seconds between."""

    def __init__(self, concepts: int | None) -> None:
        self._concepts = concepts
        self._labels: dict[str, str] = {}
        self._every: dict[str, float] = {}
        self._said: dict[str, float] = {}

    def join(self, name: str, label: str) -> None:
        self._labels[name] = label
        # As many lines for many concepts as for one, in the long run.
        self._every[name] = PLAIN_EVERY * len(self._labels)

    def show(self, name: str, step: StepLike, left: float | None, known: float | None) -> None:
        now = time.monotonic()
        last = step.index == step.total
        if name not in self._said or last or now - self._said[name] >= self._every[name]:
            self._said[name] = now
            label = self._labels[name]
            say(f"{label}  {step.index}/{step.total}  {words_of(step, left, known)}")

    def leave(self, name: str, count: int) -> None:
        self._labels.pop(name, None)
        self._said.pop(name, None)
        if self._concepts is not None:
            say(f"{ALL}  {count}/{self._concepts}")


class _Bars(_Silent):
    """A bar for each concept that is learning, and one for all where there are several."""

    def __init__(self, concepts: int | None, color: bool) -> None:
        self._bars = bars(color)
        self._tasks: dict[str, Any] = {}
        self._all: Any = None
        if concepts is not None:
            self._all = self._bars.add_task(ALL, total=concepts, words="")

    def start(self) -> None:
        self._bars.start()

    def join(self, name: str, label: str) -> None:
        self._tasks[name] = self._bars.add_task(label, total=None, words="")

    def show(self, name: str, step: StepLike, left: float | None, known: float | None) -> None:
        words = words_of(step, left, known)
        self._bars.update(self._tasks[name], completed=step.index, total=step.total, words=words)

    def leave(self, name: str, count: int) -> None:
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        if self._all is not None:
            self._bars.update(self._all, completed=count)

    def stop(self) -> None:
        self._bars.stop()


def bars(color: bool) -> Any:
    """Bars of rich on stderr, taken away when they stop; each shows its field `words`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    console = Console(
        file=sys.stderr, markup=False, emoji=False, highlight=False, no_color=not color
    )
    # stdout is left alone: what is written there during a run is data.
    return RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}", markup=False),
        console=console,
        transient=True,
        redirect_stdout=False,
    )


def _writer(mode: ProgressMode, output: Output, concepts: int | None) -> Writer:
    if mode == "jsonl":
        return _Lines(concepts is not None)
    if mode == "none" or output.quiet:
        return _Silent()
    if mode == "auto" and is_terminal(sys.stderr):
        return _Bars(concepts, output.color_errors)
    return _Plain(concepts)


def fields_of(step: StepLike, left: float | None) -> dict[str, Any]:
    """A step as `--progress jsonl` writes it."""
    return {
        "step": step.index,
        "total": step.total,
        "loss": step.loss,
        "norm": step.norm,
        "seconds": step.seconds,
        "left": None if left is None else round(left, 1),
        "held_out": step.held_out,
    }


def words_of(step: StepLike, left: float | None, known: float | None) -> str:
    """A step in the words that stand beside a bar."""
    text = f"loss {step.loss:.3f}  norm {step.norm:.2f}"
    if known is not None:
        text += f"  held out {known:.4f}"
    return text if left is None else f"{text}  {clock(left)} left"
