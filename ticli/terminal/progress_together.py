"""Progress of words that learn side by side: a bar each, plain lines, or JSON lines with names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, Self

from ticli.terminal.output import Output, is_terminal, json_text, say
from ticli.terminal.progress import (
    PLAIN_EVERY,
    Pace,
    Plain,
    ProgressMode,
    StepLike,
    bars,
    fields_of,
    words_of,
)
from ticli.terminal.safe_text import safe_text

ALL = "words"


class Writer(Protocol):
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
        self._writer = _writer(mode, words, output)
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


class _Silent:
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


class _Lines(_Silent):
    """One JSON object a step."""

    def show(self, name: str, step: StepLike, told: tuple[float | None, float | None]) -> None:
        say(json_text({"name": name, **fields_of(step, told[0])}))


class _Plain(_Silent):
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


def _writer(mode: ProgressMode, words: int, output: Output) -> Writer:
    if mode == "jsonl":
        return _Lines()
    if mode == "none" or output.quiet:
        return _Silent()
    if mode == "auto" and is_terminal(sys.stderr):
        return _Bars(words, output.color_errors)
    return _Plain(words)
