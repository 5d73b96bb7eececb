"""The library's database: opened, checked, private, durable, and at the newest schema."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ticli.durable import explain, make_folder, sync_file, sync_folder
from ticli.errors import BadContent, Conflict, NoSpace, TiError
from ticli.paths import Places

if TYPE_CHECKING:
    import sqlite_utils


WAIT_SECONDS = 60.0
LOCK = "library.lock"
LOCAL_DISK = "set TI_HOME to a folder on a local disk"


def locks_work(database: Path) -> bool:
    """Whether the library's disk supports locks; True if that cannot be tried.

    Some network and removable disks refuse locks. The database itself is not tried: closing it here
    would drop the locks that SQLite holds on it.
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
                raise TiError(f"{path} cannot be locked: {error.strerror}", LOCAL_DISK) from error
        yield
    finally:
        os.close(descriptor)


LOST = (
    "run `ti doctor --rebuild`, which makes it again from the files of the concepts, or put back a "
    "copy of library.db"
)


@contextlib.contextmanager
def explained(database: Path) -> Iterator[None]:
    """Turn SQLite's errors about `database` into TiErrors."""
    try:
        yield
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        # A damaged page can hold anything, even if SQLite finds nothing wrong.
        raise BadContent(f"the library {database} is damaged: {error}", LOST) from error
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            raise BadContent(f"the library {database} is damaged: {error}", LOST) from error
        if name.startswith(("SQLITE_BUSY", "SQLITE_IOERR_LOCK")) and not locks_work(database):
            # SQLite cannot tell a lock that fails from one that another process holds.
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
            # A limit on the size of files looks like a failing disk.
            raise TiError(
                f"the library {database} could not be read or written: {error}",
                "free some room on that disk and see that it is well, then run the command again; "
                "nothing was changed",
            ) from error
        raise TiError(f"the library {database} failed: {error}") from error


def read_only(database: Path) -> TiError:
    """The error for a library that cannot be written."""
    return TiError(
        f"the library {database} cannot be written",
        "set TI_HOME to a folder that you may write to",
        read_only=True,
    )


# The tables are made in numbered steps: a new library takes all, an older one those it lacks.
Migration: TypeAlias = "Callable[[sqlite_utils.Database], None]"


def create_concepts(db: sqlite_utils.Database) -> None:
    """Schema 1: the concepts, and the words that find them."""
    db.execute(
        """
        CREATE TABLE concepts (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL UNIQUE COLLATE NOCASE,
            token TEXT NOT NULL,
            noun TEXT NOT NULL,
            kind TEXT NOT NULL,
            init TEXT NOT NULL,
            vectors INTEGER NOT NULL,
            widths TEXT NOT NULL,
            base_family TEXT NOT NULL,
            base_id TEXT NOT NULL,
            base_revision TEXT NOT NULL,
            base_fingerprint TEXT NOT NULL,
            recipe TEXT NOT NULL,
            seed INTEGER,
            steps INTEGER NOT NULL,
            losses TEXT NOT NULL,
            norms TEXT NOT NULL,
            photos TEXT NOT NULL,
            parents TEXT NOT NULL,
            tags TEXT NOT NULL,
            notes TEXT NOT NULL,
            device TEXT NOT NULL,
            versions TEXT NOT NULL,
            seconds REAL NOT NULL,
            created TEXT NOT NULL,
            used TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            sha256 TEXT NOT NULL
        )
        """
    )
    db["concepts"].create_index(["sha256"])
    db.execute(
        "CREATE VIRTUAL TABLE words USING fts5(name, token, tags, notes, init, photos, "
        "tokenize='unicode61 remove_diacritics 2')"
    )


def add_outcomes(db: sqlite_utils.Database) -> None:
    """Schema 2: how the run that learned a concept ended."""
    for column, nothing in (("outcome", "{}"), ("curves", "{}"), ("warnings", "[]")):
        db.execute(f"ALTER TABLE concepts ADD COLUMN {column} TEXT NOT NULL DEFAULT '{nothing}'")


def add_scores(db: sqlite_utils.Database) -> None:
    """Schema 3: what a concept scored, one report a protocol."""
    db.execute("ALTER TABLE concepts ADD COLUMN scores TEXT NOT NULL DEFAULT '[]'")


def index_tags(db: sqlite_utils.Database) -> None:
    """Schema 4: tags have a table of their own, and nouns are searched for too."""
    db.execute(
        "CREATE TABLE tagged (tag TEXT NOT NULL, concept INTEGER NOT NULL, "
        "PRIMARY KEY (tag, concept)) WITHOUT ROWID"
    )
    db["tagged"].create_index(["concept"])
    # The rows' lists stay what is true; triggers keep the table to them.
    named = "SELECT value, {0}.id FROM json_each({0}.tags) WHERE typeof(value) = 'text'"
    add = f"INSERT OR IGNORE INTO tagged {named.format('new')};"
    drop = "DELETE FROM tagged WHERE concept = old.id;"
    for event, actions in (("INSERT", add), ("UPDATE OF tags", drop + add), ("DELETE", drop)):
        name = event.split()[0].lower()
        db.execute(f"CREATE TRIGGER tagged_{name} AFTER {event} ON concepts BEGIN {actions} END")
    db.execute(
        "INSERT OR IGNORE INTO tagged SELECT value, concepts.id FROM concepts, json_each(tags) "
        "WHERE typeof(value) = 'text'"
    )
    db.execute(
        "UPDATE words SET init = init || ' ' || (SELECT noun FROM concepts WHERE id = words.rowid) "
        "WHERE rowid IN (SELECT id FROM concepts WHERE noun NOT IN ('', init))"
    )


def add_about(db: sqlite_utils.Database) -> None:
    """Schema 5: what the makers of imported files say of them."""
    db.execute("ALTER TABLE concepts ADD COLUMN about TEXT NOT NULL DEFAULT '{}'")


MIGRATIONS: tuple[Migration, ...] = (
    *(create_concepts, add_outcomes, add_scores, index_tags),
    add_about,
)


# "ti" and a number drawn once: marks our databases.
APPLICATION_ID = 0x7469_2D4C
BUSY_SECONDS = 30.0
# SQLite treats a shorter file as an empty database.
SMALLEST = 512
WRITE_PRAGMAS = (
    # A rollback journal works on every file system; the next process rolls it back. EXTRA also
    # syncs the folder once the journal is gone, so that a commit stays committed.
    "PRAGMA journal_mode=DELETE",
    "PRAGMA synchronous=EXTRA",
    "PRAGMA foreign_keys=ON",
)


def open_to_read(
    database: Path, blobs: Path, steps: Sequence[Migration] = MIGRATIONS
) -> sqlite3.Connection | None:
    """Open the library for reading; None if there is none yet. Creates nothing.

    Upgrades an older schema first. Raises BadContent (damaged, foreign, lost), Conflict (made by a
    newer `ti`) and TiError.
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
    """Open the library for writing; make or upgrade it if needed.

    Raises as open_to_read does, and TiError if the library cannot be written.
    """
    with explained(database):
        if not is_present(database, blobs):
            make_folder(database.parent)
            with locked(database):
                if not is_present(database, blobs):
                    # Under another name, so that it is there whole or not at all.
                    unfinished = database.with_name("library.db.new")
                    try:
                        build_database(unfinished, steps).close()
                        unfinished.replace(database)
                        sync_folder(database.parent)
                    except OSError as error:
                        raise explain(error, database, 64 * 1024) from error
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
    # SQLite would fill a last page that was cut short with zeros.
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
    """Whether there is a database. Raises BadContent if it was lost, and TiError."""
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
    uri = f"{database.as_uri()}?{mode}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def connect_to_read(database: Path) -> sqlite3.Connection:
    """Connect without checks or upgrades. Raises sqlite3.Error.

    `rw` rolls back a journal that a crash left; a read-only folder is opened as immutable.
    """
    connection = _connect(database, "mode=rw")
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        journal = database.with_name(f"{database.name}-journal")
        if os.access(database.parent, os.W_OK) or journal.exists():
            raise
        # Nobody can write in this folder, so it can be read without locks.
        return _connect(database, "immutable=1")
    return connection


def build_database(path: Path, steps: Sequence[Migration] = MIGRATIONS) -> sqlite3.Connection:
    """Make an empty database, replacing what a crash left, and open it for writing.

    The caller holds the library's lock. Raises OSError and sqlite3.Error.
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
    """Upgrade a database and keep a copy of the old one."""
    version = check_version(connection, database, steps)
    if version == len(steps):
        return
    copy = database.with_name(f"library-v{version}-backup.db")
    try:
        copy_database(database, copy)
    except OSError as error:
        raise explain(error, copy, database.stat().st_size) from error
    connection.execute("BEGIN EXCLUSIVE")
    _apply(connection, version, steps)


def _apply(connection: sqlite3.Connection, version: int, steps: Sequence[Migration]) -> None:
    """Run the steps after `version` in the open transaction, and commit it."""
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
    """Make an empty file for SQLite that only its owner may read. Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


@contextlib.contextmanager
def change(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction that holds the write lock from its start: what it reads stays true."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def changing(places: Places) -> Iterator[sqlite3.Connection]:
    """Open the library and change it in one transaction. Raises as open_to_write does."""
    connection = open_to_write(places.database, places.blobs)
    with contextlib.closing(connection), explained(places.database), change(connection):
        yield connection


def free_name(database: Path, what: str) -> Path:
    """A name that no file has yet, for a database that is put aside now."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in itertools.count(1):
        end = "" if number == 1 else f"-{number}"
        aside = database.with_name(f"library-{what}-{moment}{end}.db")
        if not aside.exists() and not aside.with_name(f"{aside.name}-journal").exists():
            break
    return aside


def copy_database(database: Path, target: Path) -> None:
    """Copy a database to a private file, whole or not at all.

    Works even while this process holds the write lock. Raises OSError and sqlite3.Error.
    """
    unfinished = target.with_name(f"{target.name}.new")
    unfinished.unlink(missing_ok=True)
    create_private(unfinished)
    with contextlib.closing(connect_to_read(database)) as connection:
        connection.execute("VACUUM INTO ?", (str(unfinished),))
    sync_file(unfinished)
    unfinished.replace(target)
    sync_folder(target.parent)


def replace_content(places: Places, source: Path, aside: Path | None) -> None:
    """Replace the library's content by that of the database `source`, in one transaction.

    Copies the old content to `aside` first, unless that is None. Both have the newest schema. Other
    processes wait. If the process is killed, the library is the old one or the new one.
    Raises OSError, sqlite3.Error and TiError.
    """
    with contextlib.closing(open_to_write(places.database, places.blobs)) as connection:
        # Read-only, `source` stays out of the transaction, which then needs one journal only.
        connection.execute("ATTACH ? AS source", (f"{source.as_uri()}?mode=ro",))
        with change(connection):
            if aside is not None:
                copy_database(places.database, aside)
            connection.execute("PRAGMA defer_foreign_keys=ON")
            _move(connection)


def _move(connection: sqlite3.Connection) -> None:
    """Replace every row of every table, without the triggers, which would add some rows twice."""
    query = "SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger'"
    triggers = connection.execute(query).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER main.{name}")
    query = (
        "SELECT name, sql LIKE 'CREATE VIRTUAL TABLE%' FROM main.sqlite_master WHERE type = 'table'"
    )
    every = dict(connection.execute(query).fetchall())
    virtual = {name for name in every if every[name]}
    # A virtual table fills the tables that hold its rows.
    shadows = tuple(f"{name}_" for name in virtual)
    for table in (name for name in every if not name.startswith(shadows or ("\0",))):
        columns = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
        names = ", ".join(["rowid", *columns] if table in virtual else columns)
        connection.execute(f"DELETE FROM main.{table}")
        connection.execute(f"INSERT INTO main.{table}({names}) SELECT {names} FROM source.{table}")
    for _, sql in triggers:
        connection.execute(sql)
