"""Prompts from the command line or, one a line, from stdin."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import BinaryIO

from ticli.errors import Stopped, Usage
from ticli.terminal.output import is_terminal

# Signals that end a run politely: noted now, acted on between two steps.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXAMPLE = 'such as: ti generate "<mug> on the moon"'


def read_prompts(argument: str | None) -> tuple[list[str], bool]:
    """Return the prompts and whether they came from stdin, which `-` or no argument means.

    Blank lines are left out. Raises Usage if there is no prompt, or no text.
    """
    if argument is not None and argument != "-":
        return [argument], False
    if sys.stdin is None or (argument is None and is_terminal(sys.stdin)):
        raise Usage("there is no prompt", EXAMPLE)
    prompts = []
    for number, line in enumerate(sys.stdin.buffer.read().split(b"\n"), 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise Usage(f"line {number} of stdin is not UTF-8 text", "convert it first") from error
        if text:
            prompts.append(text)
    if not prompts:
        raise Usage("there is no prompt on stdin", EXAMPLE)
    return prompts, True


def piped(missing: str, hint: str) -> BinaryIO:
    """The bytes on stdin. Raises Usage with `missing` if it is closed, or a terminal."""
    if sys.stdin is None or is_terminal(sys.stdin):
        raise Usage(missing, hint)
    return sys.stdin.buffer


@contextmanager
def noted_signals() -> Iterator[Callable[[], int | None]]:
    """Yield a function that tells which signal came, if any. The second one raises Stopped."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            raise Stopped(
                "stopped at once", "the same command again continues", signal_number=number
            )

    # What the caller ignores, as nohup does with SIGHUP, stays ignored.
    heard = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield lambda: came[0] if came else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
