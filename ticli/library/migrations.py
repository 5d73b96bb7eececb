"""Opening the library's database: checked, private, durable, at the present schema."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from ticli.durable import explain, make_folder, sync_file, sync_folder
from ticli.errors import BadContent, Conflict, TiError
from ticli.library.failures import LOST, explained, read_only
from ticli.library.locking import locked
from ticli.library.schema import MIGRATIONS as MIGRATIONS
from ticli.library.schema import Migration

# "ti" and a number drawn once: tells our databases from anyone else's.
APPLICATION_ID = 0x7469_2D4C
BUSY_SECONDS = 30.0
# SQLite takes a shorter file for a database with nothing in it.
SMALLEST = 512
WRITE_PRAGMAS = (
    # A rollback journal works on every file system and is rolled back by whoever opens next;
    # EXTRA also syncs the folder after the journal is gone, so that a commit stays committed.
    "PRAGMA journal_mode=DELETE",
    "PRAGMA synchronous=EXTRA",
    "PRAGMA foreign_keys=ON",
)


def open_to_read(
    database: Path, blobs: Path, steps: Sequence[Migration] = MIGRATIONS
) -> sqlite3.Connection | None:
    """Open the library for reading; None where there is none yet. Creates nothing.

    An older schema is brought up to date first. Raises BadContent (damaged, foreign, lost),
    Conflict (made by a newer `ti`) and TiError.
    """
    with explained(database):
        if not is_present(database, blobs):
            return None
        connection = connect_to_read(database)
        try:
            current = check_version(connection, database, steps) == len(steps)
        except BaseException:
            connection.close()
            raise
        if current:
            return connection
        connection.close()
        return open_to_write(database, blobs, steps)


def open_to_write(
    database: Path, blobs: Path, steps: Sequence[Migration] = MIGRATIONS
) -> sqlite3.Connection:
    """Open the library for writing, made or brought up to date where needed.

    Raises what open_to_read does, and TiError where the library cannot be written.
    """
    with explained(database):
        if not is_present(database, blobs):
            make_folder(database.parent)
            with locked(database):
                if not is_present(database, blobs):
                    _create(database, steps)
        if not os.access(database, os.W_OK) or not os.access(database.parent, os.W_OK):
            raise read_only(database)
        connection = _connect(database, "mode=rw")
        try:
            for pragma in WRITE_PRAGMAS:
                connection.execute(pragma)
            if check_version(connection, database, steps) < len(steps):
                with locked(database):
                    _upgrade(connection, database, steps)
        except BaseException:
            connection.close()
            raise
        return connection


def check_version(
    connection: sqlite3.Connection, database: Path, steps: Sequence[Migration] = MIGRATIONS
) -> int:
    """Return the schema number of a database of ours. Raises BadContent and Conflict."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if application != APPLICATION_ID:
        raise BadContent(
            f"{database} is a database of another program",
            "move it away, or set TI_HOME to another folder",
        )
    # SQLite itself fills up a last page that was cut short with zeros.
    pages, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
    )
    if database.stat().st_size < pages * page_bytes:
        raise BadContent(f"the library {database} is damaged: its end is missing", LOST)
    if version > len(steps):
        raise Conflict(
            f"the library {database} was made by a newer ti "
            f"(schema {version}, this one knows {len(steps)})",
            "upgrade with `pip install --upgrade ticli`",
        )
    return version


def is_present(database: Path, blobs: Path) -> bool:
    """Whether there is a database; an empty one, or files without one, is a loss to be told.

    Raises BadContent and TiError.
    """
    try:
        size = database.stat().st_size
    except FileNotFoundError:
        if any(blobs.glob("??/*.safetensors")):
            raise BadContent(f"{database} is missing beside its blobs", LOST) from None
        return False
    except OSError as error:
        raise TiError(f"{database} cannot be opened: {error.strerror}") from error
    if not os.access(database, os.R_OK):
        raise TiError(f"{database} may not be read", "it belongs to another user")
    if size == 0:
        raise BadContent(f"the library {database} is empty (0 bytes)", LOST)
    if size < SMALLEST:
        raise BadContent(f"the library {database} is damaged: only {size} bytes are left", LOST)
    return True


def _connect(database: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{database.as_uri()}?{mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
    )


def connect_to_read(database: Path) -> sqlite3.Connection:
    """Connect as `rw`, so that a journal left by a crash is rolled back, else as immutable.

    Nothing is checked and no schema is brought up to date. Raises sqlite3.Error.
    """
    connection = _connect(database, "mode=rw")
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        journal = database.with_name(f"{database.name}-journal")
        if os.access(database.parent, os.W_OK) or journal.exists():
            raise
        # Nobody can write in this folder, so nothing changes while it is read without locks.
        return _connect(database, "immutable=1")
    return connection


def _create(database: Path, steps: Sequence[Migration]) -> None:
    """Build a new database beside its place and move it there whole."""
    unfinished = database.with_name("library.db.new")
    try:
        build_database(unfinished, steps).close()
        unfinished.replace(database)
        sync_folder(database.parent)
    except OSError as error:
        raise explain(error, database, 64 * 1024) from error


def build_database(path: Path, steps: Sequence[Migration] = MIGRATIONS) -> sqlite3.Connection:
    """Make an empty database, in the place of what a crash left there, and open it for writing.

    Call while the library's lock is held. Raises OSError and sqlite3.Error.
    """
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    create_private(path)
    connection = _connect(path, "mode=rw")
    try:
        for pragma in WRITE_PRAGMAS:
            connection.execute(pragma)
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        _apply(connection, 0, steps)
    except BaseException:
        connection.close()
        raise
    return connection


def _upgrade(connection: sqlite3.Connection, database: Path, steps: Sequence[Migration]) -> None:
    """Bring a database up to date, keeping a copy of the old one beside it."""
    version = check_version(connection, database, steps)
    if version == len(steps):
        return
    copy = database.with_name(f"library-v{version}-backup.db")
    unfinished = copy.with_name(f"{copy.name}.new")
    try:
        unfinished.unlink(missing_ok=True)
        create_private(unfinished)
        connection.execute("VACUUM INTO ?", (str(unfinished),))
        sync_file(unfinished)
        unfinished.replace(copy)
        sync_folder(copy.parent)
    except OSError as error:
        raise explain(error, copy, database.stat().st_size) from error
    connection.execute("BEGIN EXCLUSIVE")
    _apply(connection, version, steps)


def _apply(connection: sqlite3.Connection, version: int, steps: Sequence[Migration]) -> None:
    """Run the steps after `version` in the transaction that is open, and commit it."""
    import sqlite_utils

    try:
        db = sqlite_utils.Database(connection, execute_plugins=False)
        for step in steps[version:]:
            step(db)
        connection.execute(f"PRAGMA user_version={len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def create_private(path: Path) -> None:
    """Make an empty file that only its owner may read, which SQLite then fills. Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


@contextlib.contextmanager
def change(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction, holding the write lock from its start so that what it reads stays true."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
