"""Processes that change one library at the same time all succeed, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import changes

from ticli.library import Library

WRITERS, INSERTS = 8, 6
ALL_INSERTS = 200
# Imports first, then a line that says so, then the work at a byte from the test: all at once.
READY = """
import sys; sys.path.insert(0, sys.argv[1])
import sqlite_utils
from changes import Library, word
from ticli.library.database import changing
print("ready", flush=True)
sys.stdin.read(1)
"""
WRITER = """
library = Library.open()
for number in range(int(sys.argv[3])):
    library.add(*word(f"w{sys.argv[2]}-word-{number}", 1 + int(sys.argv[2]) * 1000 + number))
    assert library.embedding(library.get(f"w{sys.argv[2]}-word-{number}")).vectors == 1
"""
FIRST_READER = "Library.open().names()\n"
FIRST_WRITER = (
    'Library.open(write=True).add(*word(f"word-{sys.argv[2]}-x", 1 + int(sys.argv[2])))\n'
)
SAME_WRITER = 'Library.open(write=True).add(*word("same", 5))\n'
SAME_NAME = 'Library.open(write=True).add(*word("same", 1 + int(sys.argv[2])))\n'


def together(*scripts: str, inserts: int = INSERTS) -> list[tuple[int, str]]:
    """Run scripts at the same moment; return how each ended and what it wrote to stderr."""
    folder = str(Path(changes.__file__).parent)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", READY + script, folder, str(number), str(inserts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, script in enumerate(scripts)
    ]
    try:
        for process in processes:
            assert process.stdout is not None and process.stdin is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("!")
            process.stdin.flush()
        said = [process.communicate(timeout=600)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def files_of(library: Library) -> set[str]:
    return {path.stem for path in library.places.blobs.glob("*/*")}


def test_eight_writers_lose_nothing(most, record_property) -> None:
    inserts = most(INSERTS) or ALL_INSERTS
    record_property("inserts", WRITERS * inserts)
    assert together(*[WRITER] * WRITERS, inserts=inserts) == [(0, "")] * WRITERS
    library = Library.open()
    concepts = library.concepts()
    assert {concept.name for concept in concepts} == {
        f"w{writer}-word-{number}" for writer in range(WRITERS) for number in range(inserts)
    }
    assert all(library.embedding(concept).vectors == 1 for concept in concepts)
    # No file without a row, and no temporary one.
    assert files_of(library) == {concept.sha256 for concept in concepts}


def test_first_runs_at_once_all_succeed(isolated: Path) -> None:
    scripts = [FIRST_WRITER, FIRST_WRITER, FIRST_READER, FIRST_WRITER]
    assert together(*scripts) == [(0, "")] * len(scripts)
    assert Library.open().names() == ["word-0-x", "word-1-x", "word-3-x"]
    assert {path.name for path in isolated.iterdir()} == {"library.db", "library.lock", "blobs"}


def test_the_same_word_from_two_sides_is_there_once() -> None:
    assert together(SAME_WRITER, SAME_WRITER) == [(0, "")] * 2
    library = Library.open()
    assert library.names() == ["same"]
    assert len(files_of(library)) == 1


def test_of_two_words_of_one_name_exactly_one_wins() -> None:
    (first, told), (second, other) = together(SAME_NAME, SAME_NAME)
    assert sorted([first, second]) == [0, 1]
    assert "Conflict: 'same' is in the library already" in told + other
    library = Library.open()
    winner = changes.word("same", 1 if first == 0 else 2)[1]
    stored = library.embedding(library.get("same"))
    assert (stored.rows["clip_l"] == winner.rows["clip_l"]).all()
    assert len(files_of(library)) == 1


UPGRADER = "assert Library.open().names() == ['both', 'ink', 'red-mug']\n"
READER = """
import time
counts = []
while len(counts) < 40 or counts[-1] < int(sys.argv[3]):
    counts.append(len(Library.open().concepts()))
assert counts == sorted(counts)
"""
LONG_READER = """
import contextlib, time
from ticli.library.database import connect_to_read
library = Library.open()
with contextlib.closing(connect_to_read(library.places.database)) as link:
    link.execute("BEGIN")
    assert link.execute("SELECT count(*) FROM concepts").fetchone() == (3,)
    time.sleep(1.5)
"""
LATE_WRITER = """
import time
time.sleep(0.3)
Library.open().add(*word("late", 5))
"""
LONG_WRITER = """
import time
library = Library.open()
with changing(library.places) as link:
    link.execute("UPDATE concepts SET notes = 'later'")
    time.sleep(1.5)
"""
LATE_READER = """
import time
time.sleep(0.3)
assert len(Library.open().concepts()) == 3
"""


def test_upgrades_at_once_all_succeed_and_happen_once(isolated: Path) -> None:
    changes.prepare_old()
    assert together(*[UPGRADER] * 4) == [(0, "")] * 4
    assert {path.name for path in isolated.iterdir()} == {
        *("library.db", "library.lock", "library-v1-backup.db", "blobs"),
    }


def test_readers_see_only_whole_changes(isolated: Path) -> None:
    Library.open(write=True)
    assert together(WRITER, READER, READER) == [(0, "")] * 3


def test_a_writer_waits_for_a_long_reader_and_a_reader_for_a_long_writer() -> None:
    changes.prepare()
    assert together(LONG_READER, LATE_WRITER) == [(0, "")] * 2
    Library.open().remove(["late"])
    assert together(LONG_WRITER, LATE_READER) == [(0, "")] * 2
    assert {concept.notes for concept in Library.open().concepts()} == {"later"}
