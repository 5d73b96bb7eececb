"""Progress of concepts that learn, on stderr: bars, a plain line now and then, or JSON lines."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

from ticli.terminal.output import Output, is_terminal, json_text, say
from ticli.terminal.safe_text import clock, safe_text

if TYPE_CHECKING:
    from ticli.inversion.step import Step

ProgressMode = Literal["auto", "plain", "jsonl", "none"]
# An estimate before the third step would be far off.
MEASURED = 3
RECENT = 30
PLAIN_EVERY = 10.0
ALL = "concepts"


class Progress:
    """Show the steps of concepts; a context manager, so that bars always leave the terminal.

    `auto` is bars where stderr is a terminal and plain lines elsewhere. With --quiet only `jsonl`,
    which a program asked for, is written. `concepts` is how many there are; None for a call that
    asks for one alone, which needs no name and no count.
    """

    def __init__(self, mode: ProgressMode, output: Output, concepts: int | None = None) -> None:
        self._display: Display
        if mode == "jsonl":
            self._display = _JsonLines(concepts is not None)
        elif mode == "none" or output.quiet:
            self._display = Display()
        elif mode == "auto" and is_terminal(sys.stderr):
            self._display = _Bars(concepts, output.color_errors)
        else:
            self._display = _PlainLines(concepts)
        self._paces: dict[str, Pace] = {}
        self._ended = 0

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bars away while a result is written to the same terminal."""
        self._display.stop()
        try:
            yield
        finally:
            self._display.start()

    def join(self, name: str, label: str) -> None:
        """A concept begins, or goes on."""
        self._paces[name] = Pace()
        self._display.join(name, safe_text(label))

    def update(self, name: str, step: Step) -> None:
        """Show a concept's finished step; `step.index` counts from 1."""
        pace = self._paces[name]
        pace.note(step)
        self._display.show(name, step, pace)

    def leave(self, name: str) -> None:
        """A concept has ended, learned or not; it need not have begun."""
        self._ended += 1
        self._paces.pop(name, None)
        self._display.leave(name, self._ended)


class Pace:
    """The seconds that a run has `left` and the loss of its last evaluation, None if unknown."""

    def __init__(self) -> None:
        self.left: float | None = None
        self.held_out: float | None = None
        self._measured = 0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def note(self, step: Step) -> None:
        """Take in a step."""
        self._measured += 1
        # The first step fills caches and compiles: the others tell the pace.
        if self._measured > 1:
            self._recent.append(step.seconds)
        if self._measured >= MEASURED:
            self.left = (step.total - step.index) * sum(self._recent) / len(self._recent)
        if step.held_out is not None:
            self.held_out = step.held_out


class Display:
    """One way to show progress; this one shows nothing."""

    def start(self) -> None:
        """Begin, or go on after a stop."""

    def join(self, name: str, label: str) -> None:
        """A concept begins."""

    def show(self, name: str, step: Step, pace: Pace) -> None:
        """A concept took a step."""

    def leave(self, name: str, count: int) -> None:
        """A concept has ended; `count` of them have now."""

    def stop(self) -> None:
        """Leave the terminal."""


class _JsonLines(Display):
    """One JSON object a step, for programs; with the concept's name if there are several."""

    def __init__(self, named: bool) -> None:
        self._named = named

    def show(self, name: str, step: Step, pace: Pace) -> None:
        fields = {
            "step": step.index,
            "total": step.total,
            "loss": step.loss,
            "norm": step.norm,
            "seconds": step.seconds,
            "left": None if pace.left is None else round(pace.left, 1),
            "held_out": step.held_out,
        }
        say(json_text({"name": name} | fields if self._named else fields))


class _PlainLines(Display):
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

    def show(self, name: str, step: Step, pace: Pace) -> None:
        now = time.monotonic()
        last = step.index == step.total
        if name not in self._said or last or now - self._said[name] >= self._every[name]:
            self._said[name] = now
            say(f"{self._labels[name]}  {step.index}/{step.total}  {_described(step, pace)}")

    def leave(self, name: str, count: int) -> None:
        self._labels.pop(name, None)
        self._said.pop(name, None)
        if self._concepts is not None:
            say(f"{ALL}  {count}/{self._concepts}")


class _Bars(Display):
    """A bar for each concept that is learning, and one for all if there are several."""

    def __init__(self, concepts: int | None, color: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        console = Console(
            file=sys.stderr, markup=False, emoji=False, highlight=False, no_color=not color
        )
        self._bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            console=console,
            transient=True,
            # stdout is left alone: what is written there during a run is data.
            redirect_stdout=False,
        )
        self._tasks: dict[str, Any] = {}
        self._all: Any = None
        if concepts is not None:
            self._all = self._bars.add_task(ALL, total=concepts, words="")

    def start(self) -> None:
        self._bars.start()

    def join(self, name: str, label: str) -> None:
        self._tasks[name] = self._bars.add_task(label, total=None, words="")

    def show(self, name: str, step: Step, pace: Pace) -> None:
        words = _described(step, pace)
        self._bars.update(self._tasks[name], completed=step.index, total=step.total, words=words)

    def leave(self, name: str, count: int) -> None:
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        if self._all is not None:
            self._bars.update(self._all, completed=count)

    def stop(self) -> None:
        self._bars.stop()


def _described(step: Step, pace: Pace) -> str:
    text = f"loss {step.loss:.3f}  norm {step.norm:.2f}"
    if pace.held_out is not None:
        text += f"  held out {pace.held_out:.4f}"
    return text if pace.left is None else f"{text}  {clock(pace.left)} left"
