"""Clocks that jump, and locks of processes that are gone, live, or of another machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import changes
import pytest

from ticli.errors import Conflict
from ticli.inversion import open_run, unfinished
from ticli.library import Library, Query

HOLDER = """
import os, sys, time
from pathlib import Path
from ticli.inversion import open_run
with open_run(Path(sys.argv[1]), "mug", {"token": "<mug>", "steps": 9}):
    print(os.getpid(), flush=True)
    time.sleep(600)
"""


def test_order_is_of_rows_and_not_of_the_clock() -> None:
    library = Library.open(write=True)
    for name, moment in (("one", "2026-05-01"), ("two", "2025-05-01"), ("three", "2031-01-01")):
        concept, vectors = changes.word(name, len(name) * 3 + ord(name[0]))
        library.add(replace(concept, created=f"{moment}T00:00:00Z"), vectors)
    newest = library.concepts(Query(sort="created"))
    assert [concept.name for concept in newest] == ["one", "two", "three"]


def test_the_same_word_has_the_same_file_at_any_time(monkeypatch) -> None:
    library = Library.open(write=True)
    first = library.add(*changes.word("mug"))
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert library.add(*changes.word("mug")).sha256 == first.sha256


@pytest.fixture
def holder(isolated: Path):
    """Another process that holds the run of <mug>; its number is said."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(isolated / "runs")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert int(process.stdout.readline()) == process.pid
    yield process
    process.kill()
    process.communicate()


IDENTITY = {"token": "<mug>", "steps": 9}


def test_a_second_run_of_a_name_is_told_who_has_it(holder, isolated: Path, run) -> None:
    runs = isolated / "runs"
    with pytest.raises(Conflict, match=str(holder.pid)), open_run(runs, "mug", IDENTITY):
        raise AssertionError("two runs of one name")
    # A lock is never broken for its age alone.
    os.utime(runs / "mug" / "lock", (0, 0))
    os.utime(runs / "mug" / "run.json", (0, 0))
    with pytest.raises(Conflict), open_run(runs, "mug", IDENTITY):
        raise AssertionError("two runs of one name")
    assert run("prune", "--all", "-y", "-q").out == ""
    assert run("rm", "mug", "-y", "--unfinished").code == 4
    assert (runs / "mug" / "run.json").exists()


def test_the_lock_of_a_killed_process_is_no_lock(holder, isolated: Path) -> None:
    holder.kill()
    holder.wait()
    (left,) = unfinished(isolated / "runs")
    assert not left.live
    with open_run(isolated / "runs", "mug", IDENTITY):
        assert unfinished(isolated / "runs")[0].live


@pytest.mark.parametrize("text", [b"pid 1\n", b"pid 999999999\n", b"", b"\xff" * 100, b"host x"])
def test_what_stands_in_a_lock_file_locks_nothing(isolated: Path, text: bytes) -> None:
    """A number that another process has by now, or of another machine."""
    folder = isolated / "runs" / "mug"
    folder.mkdir(parents=True)
    (folder / "lock").write_bytes(text)
    (isolated / "library.lock").write_bytes(text)
    with open_run(isolated / "runs", "mug", IDENTITY) as held:
        assert held.step == 0
    changes.prepare()
    assert Library.open().names() == ["cup", "mug", "vase"]


def test_no_folder_holds_every_file(isolated: Path) -> None:
    """Ten thousand files in one folder slow down every tool that looks at it."""
    library = Library.open(write=True)
    added = [library.add(*changes.word(f"word-{n}", n + 1)) for n in range(30)]
    parents = {Path(concept.path).parent for concept in added}
    assert all(path.parent == isolated / "blobs" and len(path.name) == 2 for path in parents)
    assert len(parents) > 15
