"""Turn any exception into two lines on stderr, one JSON document where asked, and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass, field
from typing import Any

from ticli.errors import ExitCode, TiError
from ticli.settings import color_wanted
from ticli.terminal.output import RED, is_terminal, json_text, painted, say, write_line
from ticli.terminal.safe_text import safe_text, shorten

LONGEST = 600


@dataclass(frozen=True)
class Failure:
    """What is said of one failure: a stable code, a message, a hint, and the exit code."""

    code: str
    message: str
    hint: str
    exit_code: int
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The one document that `--json` prints on failure."""
        error = {"code": self.code, "message": self.message, "hint": self.hint, **self.details}
        return {"error": error, "exit_code": self.exit_code}


def explain(error: BaseException) -> Failure:
    """Describe an exception: a TiError by its own words, the rest by what they are."""
    if isinstance(error, TiError):
        return Failure(
            error.code, error.message, error.hint, int(error.exit_code), dict(error.details)
        )
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted", "interrupted", "", int(ExitCode.INTERRUPTED))
    if isinstance(error, MemoryError):
        return Failure(
            "device", "out of memory", "close other programs and try again", int(ExitCode.DEVICE)
        )
    if isinstance(error, OSError):
        return _explain_system(error)
    # Bytes of an argument that are no text arrive as lone surrogates; nothing stores those.
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return Failure(
            "usage",
            f"{error.object!r} is not UTF-8 text",
            "write it in UTF-8",
            int(ExitCode.USAGE),
        )
    return Failure(
        "unexpected",
        f"unexpected {type(error).__name__}: {error}",
        "run again with --debug to see where it happened, and report it",
        int(ExitCode.FAILED),
    )


def show(failure: Failure, json: bool, no_color: bool) -> None:
    """Say a failure on stderr, and on stdout as JSON where `json` asks for it."""
    color = color_wanted(is_terminal(sys.stderr), no_color)
    say(f"{painted('error:', RED, color)} {shorten(safe_text(failure.message), LONGEST)}")
    for line in failure.hint.splitlines():
        say(f"  {shorten(safe_text(line), LONGEST)}")
    if json:
        write_line(json_text(failure.as_json(), indent=is_terminal(sys.stdout)))


def _explain_system(error: OSError) -> Failure:
    names = [
        # What was opened by its number has no name.
        f"file {name}" if isinstance(name, int) else os.fsdecode(name)
        for name in (error.filename, error.filename2)
        if name is not None
    ]
    if error.errno == errno.ENOENT and not names:
        # Only the question where we are fails without a name.
        return Failure(
            "not_found", "the current folder is no more", "cd to another", int(ExitCode.NOT_FOUND)
        )
    what = ", ".join(names) or "input or output"
    reason = error.strerror or str(error)
    code, hint = "failed", ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        code, hint = "no_space", "make room on the disk and run the same command again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "check who may read and write it"
    return Failure(code, f"{what}: {reason}", hint, int(ExitCode.FAILED))
