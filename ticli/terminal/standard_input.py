"""What comes in through a pipe."""

from __future__ import annotations

import sys
from typing import BinaryIO

from ticli.errors import Usage
from ticli.terminal.output import is_terminal


def piped(missing: str, hint: str) -> BinaryIO:
    """The bytes on stdin. Raises Usage with `missing` where it is closed, or a terminal."""
    if sys.stdin is None or is_terminal(sys.stdin):
        raise Usage(missing, hint)
    return sys.stdin.buffer
