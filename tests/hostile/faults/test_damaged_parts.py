"""One concept, page, photo or checkpoint that is damaged: it is named, and the rest works."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import changes
import pytest

from ticli.errors import BadContent
from ticli.library import Library
from ticli.paths import places


def of(name: str) -> Path:
    return Path(Library.open().get(name).path)


def missing(path: Path, _: Path) -> None:
    path.unlink()


def flipped(path: Path, _: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 0x10
    path.write_bytes(content)


def cut(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def swapped(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def linked(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other)


def a_folder(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage", [missing, flipped, cut, swapped, linked, a_folder], ids=lambda d: d.__name__
)
def test_a_broken_file_breaks_one_concept(run, isolated: Path, work, damage: Callable) -> None:
    changes.prepare()
    other = of("cup")
    before = other.read_bytes()
    damage(of("mug"), other)
    library = Library.open()
    with pytest.raises(BadContent, match="'mug'"):
        library.embedding(library.get("mug"))
    for command in (
        ("export", "mug", "-o", "out.safetensors"),
        ("merge", "mug", "cup", "--token", "both"),
        ("rename", "mug", "tasse"),
    ):
        result = run(*command)
        assert result.code == 1 and "'mug'" in result.err, command
    assert run("export", "cup", "-o", "cup.safetensors").code == 0
    assert run("list", "-q").lines == ["cup", "mug", "vase"]
    (found,) = [
        c for c in run("doctor", "--fast", "--json").json["checks"] if c["status"] == "fail"
    ]
    assert (found["id"], found["items"][0]) == ("concept-file", "mug")
    # Both ways out that the doctor names work.
    assert run("rm", "mug", "-y").code == (1 if damage is a_folder else 0)
    assert other.read_bytes() == before
    assert library.embedding(library.get("cup")).vectors == 1


def test_a_flipped_byte_of_any_page_is_found_or_harmless(run, isolated: Path) -> None:
    """Every page in turn: the doctor finds it, or every row still has its own file."""
    changes.prepare()
    database = isolated / "library.db"
    whole = database.read_bytes()
    found = 0
    for place in [page + part for page in range(0, len(whole), 4096) for part in (110, 4050)]:
        torn = bytearray(whole)
        torn[place : place + 40] = b"\xa5" * 40
        database.write_bytes(torn)
        result = run("doctor", "--fast", "--json")
        assert "Traceback" not in result.err
        found += result.code
        if not result.code:
            library = Library.open()
            assert library.names() == ["cup", "mug", "vase"]
            assert all(library.embedding(concept).vectors for concept in library.concepts())
    assert found >= 3


def hot(home: Path) -> None:
    """Leave a transaction half written, with the journal that takes it back."""
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "c.execute('PRAGMA cache_size=1'); c.execute('BEGIN'); "
        "c.execute('CREATE TABLE filler (a)'); "
        "c.executemany('INSERT INTO filler VALUES (?)', [(os.urandom(3000),) for _ in range(99)]); "
        "c.execute(\"UPDATE concepts SET notes = 'half'\"); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, home / "library.db"], check=True)
    assert (home / "library.db-journal").stat().st_size > 512


def test_a_hot_journal_is_rolled_back_by_whoever_comes_next(isolated: Path, run) -> None:
    changes.prepare()
    hot(isolated)
    assert run("list", "-q").lines == ["cup", "mug", "vase"]
    assert {concept.notes for concept in Library.open().concepts()} == {""}
    assert run("doctor", "--fast", "-q").out == ""


def test_a_journal_that_was_deleted_is_found_or_was_not_needed(isolated: Path, run) -> None:
    changes.prepare()
    hot(isolated)
    (isolated / "library.db-journal").unlink()
    if run("doctor", "--fast", "--json").code:
        assert run("doctor", "--rebuild", "--fast").code == 0
    library = Library.open()
    assert library.names() == ["cup", "mug", "vase"]
    assert all(library.embedding(concept).vectors for concept in library.concepts())
    assert run("doctor", "--fast", "-q").code == 0


def test_a_journal_is_never_left_beside_another_database(isolated: Path, run) -> None:
    """It would be rolled back into it."""
    changes.prepare()
    hot(isolated)
    (isolated / "library.db").unlink()
    assert run("doctor", "--rebuild", "--fast").code == 0
    assert not (isolated / "library.db-journal").exists()
    assert len(list(isolated.glob("library-damaged-*.db-journal"))) == 1
    assert Library.open().names() == ["cup", "mug", "vase"]
    assert run("doctor", "--fast", "-q").out == ""


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_what_another_mode_of_sqlite_left_changes_nothing(isolated: Path, run, suffix: str) -> None:
    changes.prepare()
    (isolated / f"library.db{suffix}").write_bytes(b"\x37\x7f\x06\x82" + bytes(4000))
    assert run("list", "-q").lines == ["cup", "mug", "vase"]
    Library.open().add(*changes.word("new", 5))
    assert run("list", "-q").lines == ["cup", "mug", "new", "vase"]


def test_a_database_copied_while_it_is_written_is_whole_or_found(
    isolated: Path, run, monkeypatch
) -> None:
    """`ti backup` is the way to copy; what `cp` gives is never half a list."""
    changes.prepare()
    copy = isolated.with_name("copy")
    copy.mkdir(mode=0o700)
    hot(isolated)
    shutil.copy(isolated / "library.db", copy / "library.db")
    shutil.copytree(places().blobs, copy / "blobs")
    monkeypatch.setenv("TI_HOME", str(copy))
    if run("doctor", "--fast", "-q").code:
        assert run("doctor", "--rebuild", "--fast", "-q").code == 0
    assert Library.open().names() == ["cup", "mug", "vase"]
    assert run("doctor", "--fast", "-q").code == 0
