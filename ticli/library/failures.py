"""What SQLite says, in words that name the library and what to do."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ticli.errors import BadContent, Conflict, TiError

LOST = (
    "put a copy of library.db back, or move the folder aside and run "
    "`ti import FOLDER/blobs/*/*.safetensors`, which holds every concept"
)


@contextlib.contextmanager
def explained(database: Path) -> Iterator[None]:
    """Turn SQLite's errors about `database` into words. Raises BadContent, Conflict, TiError."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            raise BadContent(f"the library {database} is damaged: {error}", LOST) from error
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise Conflict(
                f"the library {database} is kept busy by another process", "try again in a moment"
            ) from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
            raise read_only(database) from error
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            raise BadContent(
                f"the library {database} could not be written: {error}",
                "free some room on that disk, then run the command again; nothing was changed",
            ) from error
        raise TiError(f"the library {database} failed: {error}") from error


def read_only(database: Path) -> TiError:
    """The refusal to change a library that cannot be written."""
    return TiError(
        f"the library {database} cannot be written",
        "set TI_HOME to a folder that you may write to",
        read_only=True,
    )
