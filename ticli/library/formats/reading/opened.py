"""A file of a stranger, opened once and read by position."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ticli.errors import BadContent, NotFound

# Up to here a file is read whole; of a larger one only the parts that are asked for.
LARGEST_FILE = 64 << 20


@dataclass(frozen=True)
class Opened:
    """Bytes to be read: `read(start, length)` gives exactly so many, `origin` names them."""

    origin: str
    size: int
    read: Callable[[int, int], bytes]

    @property
    def is_small(self) -> bool:
        """Whether the whole of it may be held in memory."""
        return self.size <= LARGEST_FILE


def in_memory(data: bytes, origin: str) -> Opened:
    """Bytes that are there already."""

    def read(start: int, length: int) -> bytes:
        if start < 0 or length < 0 or start + length > len(data):
            raise cut_off(origin)
        return data[start : start + length]

    return Opened(origin, len(data), read)


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[Opened]:
    """Open a regular file, links followed; what was checked is what is read.

    A small file is read at once, a large one in parts that must all be of the same moment. Raises
    NotFound and BadContent.
    """
    origin = str(path)
    with reported(path):
        # Without O_NONBLOCK a pipe would wait for its writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise BadContent(f"{origin} is not a file", "give the file of a learned word")
        if before.st_size <= LARGEST_FILE:
            with reported(path):
                data = _read(descriptor, 0, before.st_size, origin)
            _check_unchanged(descriptor, before, origin)
            yield in_memory(data, origin)
            return

        def read(start: int, length: int) -> bytes:
            with reported(path):
                return _read(descriptor, start, length, origin)

        yield Opened(origin, before.st_size, read)
        _check_unchanged(descriptor, before, origin)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def reported(path: Path) -> Iterator[None]:
    """Say why a path cannot be read. Raises NotFound and BadContent in place of OSError."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"no such file: {path}", "check the spelling") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadContent(f"{path} cannot be read: {reason}") from error


def cut_off(origin: str) -> BadContent:
    """The refusal of a file that ends too early."""
    return BadContent(f"{origin} is damaged: it is cut off", "fetch or copy the file again")


def _read(descriptor: int, start: int, length: int, origin: str) -> bytes:
    if start < 0 or length < 0 or length > LARGEST_FILE:
        raise cut_off(origin)
    pieces = []
    while length > 0:
        piece = os.pread(descriptor, length, start)
        if not piece:
            raise cut_off(origin)
        pieces.append(piece)
        start, length = start + len(piece), length - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _check_unchanged(descriptor: int, before: os.stat_result, origin: str) -> None:
    after = os.fstat(descriptor)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise BadContent(
            f"{origin} changed while it was read", "wait until it is complete, then try again"
        )
