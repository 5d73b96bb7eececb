"""Read a whole file once, under a limit, without ever waiting on a pipe or a device."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# An unset flag on systems that lack it.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_SPECIAL = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Refusal(Exception):
    """Why one file cannot be used, and what to do; its caller knows the file and says which."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice


def read_regular(path: Path, limit: int) -> bytes:
    """Return all bytes of a regular file of at most `limit` bytes. Raises Refusal."""
    data = read_head(path, limit + 1)
    if len(data) > limit:
        raise Refusal(f"it is larger than {limit >> 20} MiB", "save a smaller copy of it")
    return data


def read_head(path: Path, count: int) -> bytes:
    """Return the first `count` bytes of a regular file, fewer where it is shorter. Raises Refusal.

    Special files are seen before they are opened, and again on the opened file, which another
    process may have put there in between; O_NONBLOCK keeps that one from blocking.
    """
    try:
        _refuse_special(path.stat().st_mode)
        with os.fdopen(os.open(path, _FLAGS), "rb") as file:
            _refuse_special(os.fstat(file.fileno()).st_mode)
            return file.read(count)
    except (OSError, ValueError) as error:
        raise Refusal(why_unreadable(path, error)) from error


def why_unreadable(path: Path, error: OSError | ValueError) -> str:
    """Say in words why the system refused a path."""
    number = getattr(error, "errno", None)
    if number == errno.ELOOP:
        return "it is a link that leads back to itself"
    if number == errno.ENOENT and path.is_symlink():
        return "it is a link to a file that is gone"
    if number in (errno.EACCES, errno.EPERM):
        return "you may not read it"
    return getattr(error, "strerror", None) or str(error)


def _refuse_special(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise Refusal(f"it is {_SPECIAL.get(stat.S_IFMT(mode), 'no ordinary file')}")
