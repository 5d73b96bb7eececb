"""A database that is damaged, foreign, newer or older is told from one that is empty."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from ticli.errors import BadContent, Conflict, TiError
from ticli.library import (
    APPLICATION_ID,
    MIGRATIONS,
    Library,
    choose_token,
    imported_concept,
    open_to_read,
    open_to_write,
    read_embedding,
)


@pytest.fixture
def filled(library: Library, make) -> Library:
    library.add(*make("mug"))
    library.add(*make("cup", 2))
    return library


def refuse_both_ways(library: Library, kind: type[TiError], match: str) -> TiError:
    """Reading and writing must both fail, and alike."""
    with pytest.raises(kind, match=match):
        library.names()
    with pytest.raises(kind, match=match) as caught:
        Library.open(write=True)
    return caught.value


def test_a_missing_database_beside_its_files_is_a_loss(filled: Library) -> None:
    filled.places.database.unlink()
    error = refuse_both_ways(filled, BadContent, "library.db is missing beside its blobs")
    assert "ti doctor --rebuild" in error.hint
    assert not filled.places.database.exists()


def test_an_empty_file_is_not_an_empty_library(filled: Library) -> None:
    filled.places.database.write_bytes(b"")
    refuse_both_ways(filled, BadContent, "is empty")
    assert filled.places.database.stat().st_size == 0


def test_garbage_is_named(filled: Library) -> None:
    filled.places.database.write_bytes(os.urandom(8192))
    refuse_both_ways(filled, BadContent, "is damaged: file is not a database")


@pytest.mark.parametrize("kept", [100, 4096, 5000, 12288])
def test_a_truncated_database_is_never_a_shorter_list(filled: Library, kept: int) -> None:
    database = filled.places.database
    database.write_bytes(database.read_bytes()[:kept])
    with pytest.raises(BadContent, match="is damaged"):
        filled.concepts()


def test_a_database_of_another_program_is_left_alone(filled: Library) -> None:
    database = filled.places.database
    database.unlink()
    other = sqlite3.connect(database)
    other.execute("CREATE TABLE concepts (name)")
    other.commit()
    other.close()
    before = database.read_bytes()
    refuse_both_ways(filled, BadContent, "of another program")
    assert database.read_bytes() == before


def test_a_newer_library_is_refused(filled: Library) -> None:
    connection = sqlite3.connect(filled.places.database)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    error = refuse_both_ways(filled, Conflict, "made by a newer ti")
    assert "upgrade" in error.hint


def test_what_the_hint_of_a_loss_says_brings_everything_back(
    filled: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.tag("mug", notes="only in the row")
    before = filled.get("cup")
    vectors = filled.embedding(before).rows["clip_l"]
    filled.places.database.unlink()
    shutil.move(filled.places.home, tmp_path / "aside")
    rescued = Library.open(write=True)
    for path in sorted((tmp_path / "aside").glob("blobs/*/*.safetensors")):
        imported = read_embedding(path.read_bytes(), str(path))
        token = choose_token(imported, None, path.stem)
        rescued.add(imported_concept(imported, token), imported.embedding)
    assert rescued.names() == ["cup", "mug"]
    assert rescued.get("cup") == before
    assert (rescued.embedding(before).rows["clip_l"] == vectors).all()


def test_a_journal_left_by_a_crash_is_rolled_back_by_a_reader(filled: Library) -> None:
    database = filled.places.database
    journal = database.with_name("library.db-journal")
    writer = sqlite3.connect(database, isolation_level=None)
    # A cache of two pages makes SQLite write into the database before the commit.
    writer.execute("PRAGMA cache_size=2")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE concepts SET notes = ?, name = name || 'x'", ("n" * 200_000,))
    torn, hot = database.read_bytes(), journal.read_bytes()
    writer.execute("ROLLBACK")
    writer.close()
    database.write_bytes(torn)
    journal.write_bytes(hot)
    assert filled.names() == ["cup", "mug"]
    assert not journal.exists()


def add_colour(db) -> None:
    db["concepts"].add_column("colour", str)


def break_down(db) -> None:
    db["concepts"].add_column("half_done", str)
    raise sqlite3.OperationalError("no such function: later")


def test_an_older_library_is_upgraded_by_a_reader_and_kept_as_a_copy(filled: Library) -> None:
    database, blobs = filled.places.database, filled.places.blobs
    connection = open_to_read(database, blobs, (*MIGRATIONS, add_colour))
    assert connection is not None
    assert connection.execute("SELECT name, colour FROM concepts ORDER BY id").fetchall() == [
        ("mug", None),
        ("cup", None),
    ]
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    connection.close()
    copy = database.with_name(f"library-v{len(MIGRATIONS)}-backup.db")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    old = sqlite3.connect(copy)
    assert old.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert old.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert old.execute("SELECT count(*) FROM concepts").fetchone() == (2,)
    old.close()
    with pytest.raises(Conflict, match="newer ti"):
        filled.names()


def test_an_upgrade_that_fails_changes_nothing(filled: Library) -> None:
    database, blobs = filled.places.database, filled.places.blobs
    with pytest.raises(TiError, match="no such function: later"):
        open_to_write(database, blobs, (*MIGRATIONS, add_colour, break_down))
    assert filled.names() == ["cup", "mug"]
    check = sqlite3.connect(database)
    columns = {row[1] for row in check.execute("PRAGMA table_info(concepts)")}
    assert not columns & {"colour", "half_done"}
    check.close()


def test_the_journal_and_the_syncing_are_the_durable_ones(filled: Library) -> None:
    connection = open_to_write(filled.places.database, filled.places.blobs)
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    connection.close()
    assert found == ["delete", 3, 1, 30_000]
