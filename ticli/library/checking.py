"""Questions to a database that may be damaged, for the doctor, the backup and the rebuild."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ticli.errors import BadContent
from ticli.library.failures import explained
from ticli.library.migrations import (
    APPLICATION_ID,
    MIGRATIONS,
    check_version,
    connect_to_read,
)
from ticli.library.registry import COLUMNS, SELECT, concept_from_row

# What a row holds that its file does not: it may have changed since the file was written.
LATER = ("tags", "notes", "used", "scores")


@dataclass(frozen=True)
class RowFile:
    """What a row says of its file and photos. `photos` are their hashes."""

    id: int
    name: str
    sha256: str
    photos: tuple[str, ...]


def schema_of(connection: sqlite3.Connection, database: Path) -> int:
    """The schema number of a database of ours. Raises BadContent and Conflict."""
    return check_version(connection, database)


def damages(connection: sqlite3.Connection) -> list[str]:
    """What SQLite's own checks find wrong, every word index among them. Raises sqlite3.Error."""
    found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(20)")]
    found = [] if found == ["ok"] else found
    for table, *_ in connection.execute("PRAGMA foreign_key_check"):
        found.append(f"a row of {table} refers to one that is gone")
    return found


def rows_without_words(connection: sqlite3.Connection) -> list[int]:
    """The numbers of rows that are not in the word index, or of which only the words are left."""
    in_table = {number for (number,) in connection.execute("SELECT id FROM concepts")}
    in_index = {number for (number,) in connection.execute("SELECT rowid FROM words")}
    return sorted(in_table ^ in_index)


def word_index_is_whole(connection: sqlite3.Connection) -> bool:
    """Whether every full-text index agrees with the text it is of. Needs a writable database."""
    tables = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%fts5%'"
        )
    ]
    try:
        for table in tables:
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
    """What each row says of its files, in the order of rows; works for every schema.

    Raises sqlite3.Error, and ValueError where a list of photos cannot be read.
    """
    for number, name, sha256, photos in connection.execute(
        "SELECT id, name, sha256, photos FROM concepts ORDER BY id"
    ):
        hashes = tuple(str(photo.get("sha256", "")) for photo in json.loads(photos))
        yield RowFile(number, str(name), str(sha256), hashes)


def unreadable_rows(connection: sqlite3.Connection, blobs: Path) -> list[str]:
    """The names of rows that make no concept. The schema must be the present one."""
    found = []
    for row in connection.execute(SELECT):
        try:
            concept_from_row(row, blobs)
        except BadContent:
            found.append(str(row[COLUMNS.index("name")]))
    return found


def is_whole(database: Path, blobs: Path) -> bool:
    """Whether a database opens and nothing in it is damaged.

    Raises Conflict where a newer `ti` made it or another process keeps it busy, and TiError where
    it may not be read: neither is damage.
    """
    try:
        with explained(database), contextlib.closing(connect_to_read(database)) as connection:
            version = schema_of(connection, database)
            if damages(connection) or not same_schema(connection):
                return False
            if rows_without_words(connection):
                return False
            if version == len(MIGRATIONS):
                return not unreadable_rows(connection, blobs)
            for _ in row_files(connection):
                continue
            return True
    except (BadContent, ValueError):
        return False


def is_ours(database: Path) -> bool | None:
    """Whether a database is ours; None where it is too damaged to say."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{database.as_uri()}?immutable=1", uri=True)
        ) as connection:
            number = connection.execute("PRAGMA application_id").fetchone()[0]
            return bool(number == APPLICATION_ID)
    except sqlite3.Error:
        return None


def later_values(database: Path) -> tuple[dict[str, dict[str, str]], bool]:
    """What a damaged database still tells of its rows, and whether it told all of them.

    The columns of LATER that it has, as stored, by the hash of the row's file. Nothing is rolled
    back or repaired: the file is evidence.
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
        # A damaged page ends a scan; what lies behind it is reached from the other end.
        whole = _collect(connection, query, columns, found)
        if not whole:
            _collect(connection, f"{query} DESC", columns, found)
        return found, whole


def _collect(
    connection: sqlite3.Connection,
    query: str,
    columns: list[str],
    found: dict[str, dict[str, str]],
) -> bool:
    try:
        for sha256, *values in connection.execute(query):
            found.setdefault(str(sha256), dict(zip(columns, map(str, values), strict=True)))
    except (sqlite3.Error, UnicodeDecodeError):
        return False
    return True


def same_schema(connection: sqlite3.Connection) -> bool:
    """Whether tables, indexes and triggers are just those that our own steps make.

    A database from elsewhere may bring triggers and views of its own, which run when it is used.
    """
    import sqlite_utils

    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    with contextlib.closing(sqlite3.connect(":memory:")) as plain:
        db = sqlite_utils.Database(plain, execute_plugins=False)
        for step in MIGRATIONS[:version]:
            step(db)
        return _objects(connection) == _objects(plain)


def _objects(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    query = "SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name"
    return [tuple(row) for row in connection.execute(query)]
