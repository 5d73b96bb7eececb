"""Prompts from the command line or, one a line, from stdin."""

from __future__ import annotations

import sys

from ticli.errors import Usage
from ticli.terminal.output import is_terminal

EXAMPLE = 'such as: ti generate "<mug> on the moon"'


def read_prompts(argument: str | None) -> tuple[list[str], bool]:
    """Return the prompts and whether they came from stdin, which `-` or no argument means.

    Blank lines are left out. Raises Usage where there is no prompt, or no text.
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
