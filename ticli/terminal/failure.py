"""Turn any exception into two lines on stderr, one JSON document if asked, and an exit code."""

from __future__ import annotations

import errno
import os
import sys

from ticli.errors import DeviceFailed, NoSpace, NotFound, Stopped, TiError, Usage
from ticli.settings import color_wanted
from ticli.terminal.output import RED, is_terminal, json_text, painted, say, write_line
from ticli.terminal.safe_text import safe_text, shorten

LONGEST = 600


class Unexpected(TiError):
    """A mistake in `ti` itself."""

    code = "unexpected"


def explain(error: BaseException) -> TiError:
    """Describe an exception: a TiError by its own words, the rest by what they are."""
    if isinstance(error, TiError):
        return error
    if isinstance(error, KeyboardInterrupt):
        stopped = Stopped("interrupted")
        stopped.details.clear()
        return stopped
    if isinstance(error, MemoryError):
        return DeviceFailed("out of memory", "close other programs and try again")
    if isinstance(error, OSError):
        return _explain_system(error)
    # Bytes of an argument that are no text arrive as lone surrogates; nothing stores those.
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return Usage(f"{error.object!r} is not UTF-8 text", "write it in UTF-8")
    return Unexpected(
        f"unexpected {type(error).__name__}: {error}",
        "run again with --debug to see where it happened, and report it",
    )


def show(failure: TiError, json: bool, no_color: bool) -> None:
    """Say a failure on stderr, and on stdout as JSON if `json` asks for it."""
    color = color_wanted(is_terminal(sys.stderr), no_color)
    say(f"{painted('error:', RED, color)} {shorten(safe_text(failure.message), LONGEST)}")
    for line in failure.hint.splitlines():
        say(f"  {shorten(safe_text(line), LONGEST)}")
    if json:
        error = {"code": failure.code, "message": failure.message, "hint": failure.hint}
        document = {"error": error | failure.details, "exit_code": int(failure.exit_code)}
        write_line(json_text(document, indent=is_terminal(sys.stdout)))


def _explain_system(error: OSError) -> TiError:
    names = [
        # What was opened by its number has no name.
        f"file {name}" if isinstance(name, int) else os.fsdecode(name)
        for name in (error.filename, error.filename2)
        if name is not None
    ]
    if error.errno == errno.ENOENT and not names:
        # Only the question where we are fails without a name.
        return NotFound("the current folder no longer exists", "cd to another")
    message = f"{', '.join(names) or 'input or output'}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(message, "make room on the disk and run the same command again")
    denied = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    return TiError(message, "check who may read and write it" if denied else "")
