"""Every failure a user can cause, with its exit code."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Literal, NamedTuple


class ExitCode(IntEnum):
    """What the process answers to its shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    MODEL = 5
    DEVICE = 6
    HANGUP = 129
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


class TiError(Exception):
    """A failure said in two lines: what happened, with the value, and how to put it right.

    `code` is a stable word for scripts; `details` joins the `error` object of `--json`.
    """

    code = "failed"
    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details


class BadContent(TiError):
    """A file that was found, and holds nothing usable."""

    code = "bad_content"


class NoSpace(TiError):
    """The disk, a quota or a size limit leaves no room for what is to be written."""

    code = "no_space"


class Diverged(TiError):
    """Training left the finite numbers and could not be brought back."""

    code = "diverged"


class Declined(TiError):
    """The user answered no."""

    code = "declined"


class Usage(TiError):
    """The command line itself is wrong."""

    code = "usage"
    exit_code = ExitCode.USAGE


class NotFound(TiError):
    """No such path, concept or recipe."""

    code = "not_found"
    exit_code = ExitCode.NOT_FOUND


class Conflict(TiError):
    """Name taken, other base, file exists, running already, other settings."""

    code = "conflict"
    exit_code = ExitCode.CONFLICT


class ModelUnavailable(TiError):
    """The model cannot be had: absent, offline, gated, or not a model."""

    code = "model_unavailable"
    exit_code = ExitCode.MODEL


class DeviceFailed(TiError):
    """The device is missing or its memory is full."""

    code = "device"
    exit_code = ExitCode.DEVICE


class Stopped(TiError):
    """A signal ended the run after its checkpoint was written."""

    code = "interrupted"
    exit_code = ExitCode.INTERRUPTED

    def __init__(self, message: str, hint: str = "", *, signal_number: int = 2) -> None:
        super().__init__(message, hint, signal=signal_number)
        self.exit_code = ExitCode(128 + signal_number)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind if it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


Status = Literal["ok", "warn", "fail"]
SHOWN = 3


class Check(NamedTuple):
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
        return {**self._asdict(), "items": list(self.items)}


def some_of(items: tuple[str, ...] | list[str]) -> str:
    """The first few of many names, and how many more there are."""
    more = len(items) - SHOWN
    return ", ".join(items[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its thing, as in "1 file" or "2,000 files"; `many` is one + "s"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
