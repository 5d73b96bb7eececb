"""What `ti doctor` found out about one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["ok", "warn", "fail"]
SHOWN = 3


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, how it is, and what puts it right.

    `id` is a stable word for scripts; `items` are all the names or paths that the message is
    about, of which it may name only some.
    """

    id: str
    status: Status
    message: str
    fix: str = ""
    items: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The object of this check in the document of `ti doctor --json`."""
        return {
            "id": self.id,
            "status": self.status,
            "message": self.message,
            "fix": self.fix,
            "items": list(self.items),
        }


def some_of(items: tuple[str, ...] | list[str]) -> str:
    """The first few of many names, and how many more there are."""
    more = len(items) - SHOWN
    return ", ".join(items[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its thing, as in "1 file" or "2,000 files"; `many` is one + "s"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
