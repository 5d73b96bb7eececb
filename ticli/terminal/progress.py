"""Progress of a training run on stderr: a bar, a plain line now and then, or JSON lines."""

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
    def show(self, step: StepLike, left: float | None, known: float | None) -> None: ...
    def stop(self) -> None: ...


class Progress:
    """Show the steps of one run; a context manager, so that a bar always leaves the terminal.

    `auto` is a bar where stderr is a terminal and plain lines elsewhere. With --quiet only
    `jsonl`, which a program asked for, is written.
    """

    def __init__(self, mode: ProgressMode, label: str, output: Output) -> None:
        self._writer = _writer(mode, safe_text(label), output)
        self._pace = Pace()

    def __enter__(self) -> Self:
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.stop()

    def update(self, step: StepLike) -> None:
        """Show one finished step; `step.index` counts from 1."""
        self._writer.show(step, *self._pace.note(step))


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

    def show(self, step: StepLike, left: float | None, known: float | None) -> None:
        pass

    def stop(self) -> None:
        pass


class _Lines(_Silent):
    """One JSON object a step, for programs: step total loss norm seconds left held_out."""

    def show(self, step: StepLike, left: float | None, known: float | None) -> None:
        say(json_text(fields_of(step, left)))


class Plain(_Silent):
    """The first step, the last one, and one about every ten seconds between."""

    def __init__(self, label: str, every: float = PLAIN_EVERY) -> None:
        self._label = label
        self._every = every
        self._said: float | None = None

    def show(self, step: StepLike, left: float | None, known: float | None) -> None:
        now = time.monotonic()
        last = step.index == step.total
        if self._said is None or last or now - self._said >= self._every:
            self._said = now
            say(f"{self._label}  {step.index}/{step.total}  {words_of(step, left, known)}")


class _Bar:
    """A bar drawn by rich, taken away when the run ends."""

    def __init__(self, label: str, color: bool) -> None:
        self._bar = bars(color)
        self._label = label
        self._task: Any = None

    def start(self) -> None:
        self._bar.start()

    def show(self, step: StepLike, left: float | None, known: float | None) -> None:
        if self._task is None:
            self._task = self._bar.add_task(self._label, total=step.total, words="")
        self._bar.update(self._task, completed=step.index, words=words_of(step, left, known))

    def stop(self) -> None:
        self._bar.stop()


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


def _writer(mode: ProgressMode, label: str, output: Output) -> Writer:
    if mode == "jsonl":
        return _Lines()
    if mode == "none" or output.quiet:
        return _Silent()
    if mode == "auto" and is_terminal(sys.stderr):
        return _Bar(label, output.color_errors)
    return Plain(label)


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


# Progress of words that learn side by side: a bar each, plain lines, or JSON lines with names.

ALL = "words"


class WriterTogether(Protocol):
    """One way to show the steps of many words; `names` say which, `count` how many have ended."""

    def start(self) -> None: ...
    def join(self, name: str, label: str) -> None: ...
    def show(self, name: str, step: StepLike, told: tuple[float | None, float | None]) -> None: ...
    def leave(self, name: str, count: int) -> None: ...
    def stop(self) -> None: ...


class ProgressTogether:
    """Show the steps of many words; a context manager, so that bars always leave the terminal.

    Modes are those of Progress. JSON lines have the word's `name` before what they have for one.
    """

    def __init__(self, mode: ProgressMode, words: int, output: Output) -> None:
        self._writer = _writer_together(mode, words, output)
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
        """A word begins, or goes on."""
        self._paces[name] = Pace()
        self._writer.join(name, safe_text(label))

    def update(self, name: str, step: StepLike) -> None:
        """Show a word's finished step."""
        self._writer.show(name, step, self._paces[name].note(step))

    def leave(self, name: str) -> None:
        """A word has ended, learned or not; it need not have begun."""
        self._ended += 1
        self._paces.pop(name, None)
        self._writer.leave(name, self._ended)


class _SilentTogether:
    """Nothing at all."""

    def start(self) -> None:
        pass

    def join(self, name: str, label: str) -> None:
        pass

    def show(self, name: str, step: StepLike, told: tuple[float | None, float | None]) -> None:
        pass

    def leave(self, name: str, count: int) -> None:
        pass

    def stop(self) -> None:
        pass


class _LinesTogether(_SilentTogether):
    """One JSON object a step."""

    def show(self, name: str, step: StepLike, told: tuple[float | None, float | None]) -> None:
        say(json_text({"name": name, **fields_of(step, told[0])}))


class _Plain(_SilentTogether):
    """A word's first step, its last one, and between them one line about every ten seconds."""

    def __init__(self, words: int) -> None:
        self._words = words
        self._lines: dict[str, Plain] = {}

    def join(self, name: str, label: str) -> None:
        # As many lines for many words as for one, in the long run.
        self._lines[name] = Plain(label, PLAIN_EVERY * (len(self._lines) + 1))

    def show(self, name: str, step: StepLike, told: tuple[float | None, float | None]) -> None:
        self._lines[name].show(step, *told)

    def leave(self, name: str, count: int) -> None:
        self._lines.pop(name, None)
        say(f"{ALL}  {count}/{self._words}")


class _Bars:
    """A bar for each word that is learning, and one for all of them."""

    def __init__(self, words: int, color: bool) -> None:
        self._bars = bars(color)
        self._tasks: dict[str, Any] = {}
        self._all = self._bars.add_task(ALL, total=words, words="")

    def start(self) -> None:
        self._bars.start()

    def join(self, name: str, label: str) -> None:
        self._tasks[name] = self._bars.add_task(label, total=None, words="")

    def show(self, name: str, step: StepLike, told: tuple[float | None, float | None]) -> None:
        words = words_of(step, *told)
        self._bars.update(self._tasks[name], completed=step.index, total=step.total, words=words)

    def leave(self, name: str, count: int) -> None:
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        self._bars.update(self._all, completed=count)

    def stop(self) -> None:
        self._bars.stop()


def _writer_together(mode: ProgressMode, words: int, output: Output) -> WriterTogether:
    if mode == "jsonl":
        return _LinesTogether()
    if mode == "none" or output.quiet:
        return _SilentTogether()
    if mode == "auto" and is_terminal(sys.stderr):
        return _Bars(words, output.color_errors)
    return _Plain(words)
