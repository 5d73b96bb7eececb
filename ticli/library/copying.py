"""Whole databases copied while others use them: each copy, each replacement is of one moment."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from ticli.durable import sync_file, sync_folder
from ticli.library.migrations import change, connect_to_read, create_private, open_to_write
from ticli.paths import Places


def copy_database(database: Path, target: Path) -> None:
    """Write a copy of a database, as it is at one moment, to a private file, whole or not
    at all.

    Works while another connection of this process holds the write lock. Raises OSError and
    sqlite3.Error.
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
    """Put the content of the database `source` in the place of the library's, in one transaction.

    What was there is copied to `aside` first, unless that is None. Both are of the present
    schema. Other processes wait; killed at any moment, the library is the old one or the new one.
    Raises OSError, sqlite3.Error and TiError.
    """
    connection = open_to_write(places.database, places.blobs)
    with contextlib.closing(connection):
        # Read-only, it takes no part in the transaction, which so needs no journal for two files.
        connection.execute("ATTACH ? AS source", (f"{source.as_uri()}?mode=ro",))
        with change(connection):
            if aside is not None:
                copy_database(places.database, aside)
            connection.execute("PRAGMA defer_foreign_keys=ON")
            _move(connection)


def _move(connection: sqlite3.Connection) -> None:
    """Replace every row of every table; triggers, which would add some twice, wait aside."""
    triggers = list(
        connection.execute("SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger'")
    )
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER main.{name}")
    virtual = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM main.sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"
        )
    }
    # What a virtual table keeps its rows in is filled through it.
    shadows = tuple(f"{name}_" for name in virtual)
    tables = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM main.sqlite_master WHERE type = 'table'"
        )
        if not name.startswith(shadows or ("\0",))
    ]
    for table in tables:
        columns = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
        names = ", ".join(["rowid", *columns] if table in virtual else columns)
        connection.execute(f"DELETE FROM main.{table}")
        connection.execute(f"INSERT INTO main.{table}({names}) SELECT {names} FROM source.{table}")
    for _, sql in triggers:
        connection.execute(sql)
