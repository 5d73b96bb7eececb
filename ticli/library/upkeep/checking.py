"""Check the library, from its folder to the last byte of its files, and change nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ticli.concept import FACTS
from ticli.errors import BadContent, Check, TiError, counted, some_of
from ticli.library.database import (
    APPLICATION_ID,
    LOCAL_DISK,
    LOST,
    MIGRATIONS,
    check_version,
    connect_to_read,
    explained,
    is_present,
    locks_work,
)
from ticli.library.record import COLUMNS, SELECT, concept_from_row
from ticli.library.store import (
    blob_path,
    photos_folder,
    stored_blobs,
    stored_photos,
    temporary_files,
)
from ticli.paths import Places

# Fields that may have changed since the concept's file was written.
LATER = [key for key, it in FACTS.items() if it.varies == "later"]


@dataclass(frozen=True)
class RowFile:
    """The file and photos of a row, by their hashes."""

    id: int
    name: str
    sha256: str
    photos: tuple[str, ...]


def damages(connection: sqlite3.Connection) -> list[str]:
    """What SQLite's own checks find wrong. Raises sqlite3.Error."""
    found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(20)")]
    found = [] if found == ["ok"] else found
    for table, *_ in connection.execute("PRAGMA foreign_key_check"):
        found.append(f"a row of {table} refers to one that is gone")
    return found


def rows_without_words(connection: sqlite3.Connection) -> list[int]:
    """The numbers of rows that are only in the table or only in the word index."""
    in_table = {number for (number,) in connection.execute("SELECT id FROM concepts")}
    in_index = {number for (number,) in connection.execute("SELECT rowid FROM words")}
    return sorted(in_table ^ in_index)


def word_index_is_whole(connection: sqlite3.Connection) -> bool:
    """Whether every full-text index agrees with its text. Needs a writable database."""
    query = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%fts5%'"
    try:
        for (table,) in connection.execute(query).fetchall():
            connection.execute("BEGIN")
            connection.execute(f"INSERT INTO {table}({table}) VALUES('integrity-check')")
            connection.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_CORRUPT"):
            return False
        raise
    return True


def row_files(connection: sqlite3.Connection) -> Iterator[RowFile]:
    """The files of each row, in order; works for every schema.

    Raises sqlite3.Error, and ValueError if a list of photos cannot be read.
    """
    for number, name, sha256, photos in connection.execute(
        "SELECT id, name, sha256, photos FROM concepts ORDER BY id"
    ):
        hashes = tuple(str(photo.get("sha256", "")) for photo in json.loads(photos))
        yield RowFile(number, str(name), str(sha256), hashes)


def unreadable_rows(connection: sqlite3.Connection, blobs: Path) -> list[str]:
    """The names of rows that cannot be read. The schema must be the newest."""
    found = []
    for row in connection.execute(SELECT):
        try:
            concept_from_row(row, blobs)
        except BadContent:
            found.append(str(row[COLUMNS.index("name")]))
    return found


def is_whole(database: Path, blobs: Path) -> bool:
    """Whether a database opens and nothing in it is damaged.

    Raises Conflict if a newer `ti` made it or another process keeps it busy, and TiError if it may
    not be read: neither is damage.
    """
    try:
        with explained(database), contextlib.closing(connect_to_read(database)) as connection:
            version = check_version(connection, database)
            if damages(connection) or not same_schema(connection) or rows_without_words(connection):
                return False
            if version == len(MIGRATIONS):
                return not unreadable_rows(connection, blobs)
            return all(True for _ in row_files(connection))
    except (BadContent, ValueError):
        return False


def is_ours(database: Path) -> bool | None:
    """Whether a database is ours; None if it is too damaged to tell."""
    try:
        connection = sqlite3.connect(f"{database.as_uri()}?immutable=1", uri=True)
        with contextlib.closing(connection):
            number = connection.execute("PRAGMA application_id").fetchone()[0]
            return bool(number == APPLICATION_ID)
    except sqlite3.Error:
        return None


def later_values(database: Path) -> tuple[dict[str, dict[str, str]], bool]:
    """What can still be read of a damaged database, and whether that is all of its rows.

    Returns the stored columns of LATER by the hash of the row's file. Rolls back and repairs
    nothing.
    """
    found: dict[str, dict[str, str]] = {}
    try:
        connection = sqlite3.connect(f"{database.as_uri()}?immutable=1", uri=True)
    except sqlite3.Error:
        return found, False
    with contextlib.closing(connection):
        try:
            known = {row[1] for row in connection.execute("PRAGMA table_info(concepts)")}
        except (sqlite3.Error, UnicodeDecodeError):
            return found, False
        columns = [column for column in LATER if column in known]
        if not columns or not {"id", "sha256"} <= known:
            return found, False
        query = f"SELECT sha256, {', '.join(columns)} FROM concepts ORDER BY id"
        # A damaged page ends a scan: then the rest is read from the other end.
        for number, order in enumerate(("ASC", "DESC")):
            try:
                for sha256, *values in connection.execute(f"{query} {order}"):
                    found.setdefault(str(sha256), dict(zip(columns, map(str, values), strict=True)))
                return found, number == 0
            except (sqlite3.Error, UnicodeDecodeError):
                continue
        return found, False


def same_schema(connection: sqlite3.Connection) -> bool:
    """Whether tables, indexes and triggers are exactly those that our migrations make.

    A database from elsewhere may bring triggers and views, which run when it is used.
    """
    import sqlite_utils

    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    with contextlib.closing(sqlite3.connect(":memory:")) as plain:
        db = sqlite_utils.Database(plain, execute_plugins=False)
        for step in MIGRATIONS[:version]:
            step(db)
        query = "SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name"
        ours, expected = (link.execute(query).fetchall() for link in (connection, plain))
        return ours == expected


LITTLE_ROOM, NO_ROOM = 200 << 20, 1 << 20
REBUILD, PRUNE = "ti doctor --rebuild", "ti prune"
RM = "put the file back from a backup, or run ti rm"


def check_library(places: Places) -> Iterator[Check]:
    """Check folders, database, rows, files and what crashes left, in this order.

    Raises TiError if a folder cannot be listed.
    """
    if not places.home.is_dir():
        yield Check("home", "ok", f"no library yet; {places.home} is made when it is needed")
        return
    yield from _folder_checks(places)
    try:
        with explained(places.database):
            if not is_present(places.database, places.blobs):
                yield Check("database", "ok", "no concept yet")
                return
            connection = connect_to_read(places.database)
    except TiError as error:
        yield _failed(error)
        return
    with contextlib.closing(connection):
        yield from _database_checks(connection, places)


def _failed(error: TiError) -> Check:
    fix = REBUILD if error.hint == LOST else error.hint
    return Check("database", "fail", error.message, fix)


def _folder_checks(places: Places) -> Iterator[Check]:
    yield Check("home", "ok", str(places.home))
    yield _permissions(places)
    unwritable = [
        p for p in (places.home, places.blobs) if p.exists() and not os.access(p, os.W_OK)
    ]
    if places.database.exists() and not os.access(places.database, os.W_OK):
        unwritable.append(places.database)
    if unwritable:
        said = some_of([str(path) for path in unwritable])
        yield Check("write-access", "warn", f"may only be read: {said}", f"chmod u+w {said}")
    else:
        yield Check("write-access", "ok", "the library may be changed")
    if locks_work(places.database):
        yield Check("locks", "ok", "locks work here")
    else:
        said = f"{places.home} is on a disk that has no locks"
        yield Check("locks", "fail", said, LOCAL_DISK)
    free = shutil.disk_usage(places.home).free
    said = f"{free / 1e9:,.1f} GB free"
    if free < LITTLE_ROOM:
        yield Check("disk", "fail" if free < NO_ROOM else "warn", said, "free some room")
    else:
        yield Check("disk", "ok", said)


def _permissions(places: Places) -> Check:
    """Whether other users can read the library: folders are 0700, files 0600."""
    open_to_others = [
        path
        for path in (
            places.home,
            places.database,
            places.config,
            places.runs,
            places.blobs,
            photos_folder(places),
        )
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    # Files in a closed folder are closed.
    inside = places.home in open_to_others
    if inside:
        open_to_others += [
            stored.path
            for stored in [*stored_blobs(places), *stored_photos(places)]
            if stat.S_IMODE(stored.path.lstat().st_mode) & 0o077
        ]
    if not open_to_others:
        return Check("permissions", "ok", "only you may read the library")
    names = tuple(str(path) for path in open_to_others)
    return Check(
        "permissions",
        "warn",
        f"others may look into {some_of(names)}",
        f"chmod -R go= '{places.home if inside else names[0]}'",
        names,
    )


def _database_checks(connection: sqlite3.Connection, places: Places) -> Iterator[Check]:
    database = places.database
    try:
        with explained(database):
            version = check_version(connection, database)
            damaged_parts = damages(connection)
            rows = list(row_files(connection))
            wordless = rows_without_words(connection)
            writable = all(os.access(path, os.W_OK) for path in (database, database.parent))
            whole_words = not writable or word_index_is_whole(connection)
            current = version == len(MIGRATIONS)
            ours = same_schema(connection)
            unreadable = unreadable_rows(connection, places.blobs) if current else []
    except TiError as error:
        yield _failed(error)
        return
    if damaged_parts:
        said = f"{database} is damaged: {some_of(damaged_parts)}"
        yield Check("database", "fail", said, REBUILD, tuple(damaged_parts))
        return
    yield Check("database", "ok", f"sound, with {counted(len(rows), 'concept')}")
    if not ours:
        said = "there are tables or triggers that are not ti's, or some of ti's are missing"
        yield Check("schema", "fail", said, REBUILD)
    elif current:
        yield Check("schema", "ok", f"schema {version}")
    else:
        said = f"schema {version}; the next command brings it to {len(MIGRATIONS)}"
        yield Check("schema", "warn", said, "ti list")
    if unreadable:
        said = f"the rows of {some_of(unreadable)} cannot be read"
        yield Check("rows", "fail", said, REBUILD, tuple(unreadable))
    else:
        yield Check("rows", "ok", "every row can be read")
    if wordless or not whole_words:
        said = f"the search index does not match the rows ({len(wordless):,} differ)"
        yield Check("search", "fail", said, REBUILD)
    else:
        yield Check("search", "ok", "the search index matches the rows")
    yield from _files(rows, places)


def _files(rows: list[RowFile], places: Places) -> Iterator[Check]:
    broken = 0
    for row in rows:
        path = blob_path(places.blobs, row.sha256)
        if problem := _wrong_with(path, row.sha256):
            broken += 1
            said = f"the file of {row.name!r} is {problem}: {path}"
            yield Check("concept-file", "fail", said, f"{RM} {row.name}", (row.name, str(path)))
    if not broken:
        yield Check("concept-files", "ok", f"{counted(len(rows), 'file is', 'files are')} whole")
    blobs = {stored.sha256: stored.path for stored in stored_blobs(places)}
    named = {row.sha256 for row in rows}
    orphans = sorted(str(path) for sha256, path in blobs.items() if sha256 not in named)
    yield _left("orphan-files", orphans, "every file has a row", "file", "without a row")
    photos = stored_photos(places)
    wanted = {sha256 for row in rows for sha256 in row.photos}
    torn = sorted(str(s.path) for s in photos if _wrong_with(s.path, s.sha256))
    if torn:
        said = f"kept photos are damaged: {some_of(torn)}"
        yield Check("photos", "warn", said, "put them back from a backup", tuple(torn))
    else:
        yield Check(
            "photos", "ok", f"{counted(len(photos), 'kept photo is', 'kept photos are')} whole"
        )
    unused = sorted(str(s.path) for s in photos if s.sha256 not in wanted)
    yield _left(
        "orphan-photos", unused, "every kept photo has a concept", "photo", "without a concept"
    )
    temporary = [str(path) for path in temporary_files(places)]
    yield _left("temporary-files", temporary, "none is left", "temporary file", "left by a crash")


def _left(check: str, found: list[str], none: str, one: str, rest: str) -> Check:
    if not found:
        return Check(check, "ok", none)
    said = f"{counted(len(found), one)} {rest}: {some_of(found)}"
    return Check(check, "warn", said, PRUNE, tuple(found))


def _wrong_with(path: Path, sha256: str) -> str:
    """What is wrong with a file named after its hash; "" if nothing is."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            return "a link" if stat.S_ISLNK(status.st_mode) else "no file"
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"unreadable ({error.strerror})"
    return "" if found == sha256 else "damaged"
