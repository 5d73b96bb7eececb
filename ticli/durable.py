"""Files that are either wholly there or not at all, also after a crash or a power cut."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from ticli.errors import Conflict, NoSpace, NotFound, TiError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What file systems without hard links answer to link(2).
LINKLESS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def write_file(path: Path, data: bytes, *, replace: bool, mode: int = 0o600) -> None:
    """Write `data` to `path` so that a crash leaves the old file or the new one, never a part.

    A temporary file beside the target is written, synced, read back and moved into place; the
    folder is synced last. A link at `path` is replaced itself. `mode` is what the file is created
    with, less the umask. Raises Conflict (it exists, and not `replace`), NotFound (no such folder),
    NoSpace and TiError.
    """
    with writing(path, replace=replace, mode=mode, needed=len(data)) as file:
        file.write(data)
        file.flush()
        if _read_back(file.fileno(), len(data)) != data:
            raise OSError(errno.EIO, "what was written does not read back")


@contextlib.contextmanager
def writing(path: Path, *, replace: bool, mode: int = 0o600, needed: int = 0) -> Iterator[BinaryIO]:
    """Open a file to be written in pieces, which appears at `path` only once it is complete.

    If the block fails, nothing is left. `needed` is how many bytes it will have, if known. The rest
    is as in write_file.
    """
    temporary = path.parent / f".{path.name[:40]}.{secrets.token_hex(8)}.tmp"
    try:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            with os.fdopen(os.open(temporary, flags, mode), "w+b") as file:
                yield file
                file.flush()
                needed = needed or file.tell()
                os.fsync(file.fileno())
            if replace:
                temporary.replace(path)
            else:
                _move_to_free_name(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError as error:
        raise Conflict(f"{path} exists already", "choose another name, or give --force") from error
    except OSError as error:
        raise explain(error, path, needed) from error


def make_folder(path: Path, mode: int = 0o700) -> None:
    """Create a folder and its missing parents, and sync the folders that now hold them.

    `mode` is that of the folder itself. Raises TiError.
    """
    try:
        missing = []
        folder = path
        # A current folder that was deleted is no folder, and has no parent by name.
        while not folder.is_dir() and folder != folder.parent:
            missing.append(folder)
            folder = folder.parent
        for folder in reversed(missing):
            folder.mkdir(mode=mode if folder == path else 0o777, exist_ok=True)
            sync_folder(folder.parent)
    except OSError as error:
        raise explain(error, path) from error


def check_folder(path: Path) -> None:
    """Raise the TiError that making a folder and writing into it would end in now."""
    folder = path
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        number = errno.ENOTDIR if folder.exists() else errno.ENOENT
    elif os.access(folder, os.W_OK | os.X_OK):
        return
    else:
        number = errno.EACCES
    raise explain(OSError(number, os.strerror(number)), path)


def remove_file(path: Path) -> None:
    """Remove a file for good; one that is gone already is no error. Raises TiError."""
    remove_files([path])


def remove_files(paths: Iterable[Path]) -> None:
    """Remove files for good, syncing each folder once; raises as remove_file does."""
    folders: dict[Path, None] = {}
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise explain(error, path) from error
        folders[path.parent] = None
    for folder in folders:
        try:
            if folder.is_dir():
                sync_folder(folder)
        except OSError as error:
            raise explain(error, folder) from error


def sync_file(path: Path) -> None:
    """Make a file's bytes survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems cannot sync a folder and say so in these two ways.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def explain(error: OSError, path: Path, needed: int = 0) -> TiError:
    """Turn a failed file operation into words; `needed` is how many bytes were to be written."""
    reason = error.strerror or str(error)
    if error.errno in FULL:
        return NoSpace(
            f"no room for {path}: {reason}",
            f"free {f'{needed:,} bytes' if needed else 'some room'} there, then try again",
            bytes_needed=needed,
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return TiError(
            f"{path} cannot be written: {reason}", "choose a folder that you may write to"
        )
    if error.errno == errno.ENOENT:
        return NotFound(f"no such folder: {path.parent}", "create it first")
    return TiError(f"{path} cannot be written: {reason}")


def _read_back(descriptor: int, length: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    pieces = []
    while length > 0 and (piece := os.read(descriptor, length)):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _move_to_free_name(temporary: Path, path: Path) -> None:
    """Give the finished file its name unless that is taken, with no moment in between."""
    try:
        os.link(temporary, path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in LINKLESS:
            raise
        reserved = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.close(reserved)
        with contextlib.ExitStack() as undo:
            undo.callback(path.unlink)
            temporary.replace(path)
            undo.pop_all()
