"""What SQLite says, in words that name the library and what to do."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ticli.errors import BadContent, Conflict, NoSpace, TiError
from ticli.library.locking import LOCAL_DISK, locks_work

LOST = (
    "run `ti doctor --rebuild`, which makes it anew from the files of the concepts, or put a copy "
    "of library.db back"
)


@contextlib.contextmanager
def explained(database: Path) -> Iterator[None]:
    """Turn SQLite's errors about `database` into words. Raises TiError and its kinds."""
    try:
        yield
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        # A damaged page can hold anything, also where SQLite sees nothing wrong.
        raise BadContent(f"the library {database} is damaged: {error}", LOST) from error
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            raise BadContent(f"the library {database} is damaged: {error}", LOST) from error
        if name.startswith(("SQLITE_BUSY", "SQLITE_IOERR_LOCK")) and not locks_work(database):
            # SQLite takes a lock that cannot be had for one that another process holds.
            raise TiError(
                f"the library {database} cannot be locked: its disk has no locks", LOCAL_DISK
            ) from error
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise Conflict(
                f"the library {database} is kept busy by another process", "try again in a moment"
            ) from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
            raise read_only(database) from error
        if name == "SQLITE_FULL":
            raise NoSpace(
                f"no room for the library {database}: {error}",
                "free some room on that disk, then run the command again; nothing was changed",
            ) from error
        if name.startswith("SQLITE_IOERR"):
            # A limit on the size of files and a failing disk look alike from here.
            raise TiError(
                f"the library {database} could not be read or written: {error}",
                "free some room on that disk and see that it is well, then run the command again; "
                "nothing was changed",
            ) from error
        raise TiError(f"the library {database} failed: {error}") from error


def read_only(database: Path) -> TiError:
    """The refusal to change a library that cannot be written."""
    return TiError(
        f"the library {database} cannot be written",
        "set TI_HOME to a folder that you may write to",
        read_only=True,
    )
