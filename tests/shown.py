"""What progress is shown of, and a terminal that it is shown on."""

from __future__ import annotations

import io
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A step as progress reads it."""

    index: int
    total: int
    loss: float = 0.081
    norm: float = 0.39
    seconds: float = 0.5
    held_out: float | None = None


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True
