"""The lock under which a library is made or upgraded, so that two first runs both succeed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ticli.durable import explain
from ticli.errors import Conflict, TiError

WAIT_SECONDS = 60.0
LOCK = "library.lock"
LOCAL_DISK = "set TI_HOME to a folder on a local disk"


def locks_work(database: Path) -> bool:
    """Whether the disk of the library has locks; True too where it cannot be tried.

    Some network and removable disks answer a lock with an error. Nothing is created, and the
    database itself is left alone: closing it here would drop the locks that SQLite has on it.
    """
    import fcntl

    try:
        descriptor = os.open(database.with_name(LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return True
    try:
        for lock in (fcntl.flock, fcntl.lockf):
            with contextlib.suppress(BlockingIOError):
                lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the lock under which a library is created or upgraded. Raises Conflict, TiError."""
    import fcntl

    path = database.with_name(LOCK)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise explain(error, path) from error
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise Conflict(
                        f"another ti has been upgrading {database} for a minute",
                        "wait for it, or end it, then run the command again",
                    ) from error
                time.sleep(0.02)
            except OSError as error:
                raise TiError(
                    f"{path} cannot be locked: {error.strerror}",
                    LOCAL_DISK,
                ) from error
        yield
    finally:
        os.close(descriptor)
