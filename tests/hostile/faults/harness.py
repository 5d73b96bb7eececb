"""Changes run in children that strace kills or fails at one system call, and what is true after."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import changes
import pytest

from ticli.errors import TiError
from ticli.library import Library, check_library
from ticli.paths import places

STRACE = shutil.which("strace")
CALLS = (
    "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,"
    "ftruncate,mkdir,mkdirat,rmdir"
)
CALL = re.compile(r"^(\w+)\(", re.MULTILINE)
Moment = tuple[str, int]
KNOWN = re.compile(
    r"library(-(replaced|damaged)-[\dTZ-]+|-v\d+-backup)?\.(db|lock|db-journal)|blobs|photos|runs"
    r"|cache|unused\.json|\..*\.tmp|restore\.new|library.*\.db\.(new|rebuilt)(-journal)?"
)


class Server:
    """A process that forks one child a change, to be watched or killed by strace."""

    def __init__(self, errors: Path) -> None:
        self.errors = errors
        with errors.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, changes.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
            )

    def run(self, change: str, *options: str) -> int:
        """Run a change here, in the test's library, under strace with these options.

        Returns how its process ended.
        """
        sent, told = self.process.stdin, self.process.stdout
        assert sent is not None and told is not None and STRACE is not None
        sent.write(f"{change}\t{os.environ['TI_HOME']}\t{Path.cwd()}\n")
        sent.flush()
        child = told.readline().strip()
        command = [STRACE, *options, "-p", child]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            heard = tracer.stderr.readline()
            sent.write("!")
            sent.flush()
            code = int(told.readline())
            heard += tracer.stderr.read()
        if "Operation not permitted" in heard:
            pytest.skip(f"strace may not trace here: {heard}")
        assert "attached" in heard, heard
        return code

    def said(self) -> str:
        """What the changes wrote to stderr so far, which is forgotten."""
        text = self.errors.read_text()
        os.truncate(self.errors, 0)
        return text

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def moments(trace: str) -> list[Moment]:
    """Every call by its name and its number among those of that name."""
    counts: Counter[str] = Counter()
    chosen = []
    for name in CALL.findall(trace):
        counts[name] += 1
        chosen.append((name, counts[name]))
    return chosen


def sample(points: Sequence[Any], most: int | None) -> list[Any]:
    """The first, the last and some between; all where `most` is None."""
    if most is None or len(points) <= most:
        return list(points)
    # One alone is taken from the middle, where most is under way.
    steps = [0.5] if most == 1 else [number / (most - 1) for number in range(most)]
    return [points[round(step * (len(points) - 1))] for step in steps]


class Stage:
    """The folders a change works in, put back to how they were before each attempt."""

    def __init__(self, change: str, work: Path, kept: Path) -> None:
        self.change, self.work, self.kept = change, work, kept
        self.home = places().home
        prepare = changes.PREPARED.get(change, changes.prepare)
        prepare()
        for source, name in ((self.home, "home"), (self.work, "work")):
            if source.exists():
                shutil.copytree(source, self.kept / name)

    def reset(self) -> None:
        for target, name in ((self.home, "home"), (self.work, "work")):
            # The current folder of a process stays the same one.
            for path in target.iterdir() if target.exists() else ():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            if (self.kept / name).exists():
                shutil.copytree(self.kept / name, target, dirs_exist_ok=True)
            elif target != self.work:
                shutil.rmtree(target, ignore_errors=True)

    def observe(self) -> Any:
        """What a user can see of the change: the same before it and after it, never between."""
        if self.change == "checkpoint":
            import checkpoints

            return checkpoints.saved()
        files = {
            path.name: path.read_bytes()
            for path in self.work.iterdir()
            if path.name in (changes.EXPORTED, changes.PICTURE)
        }
        if (backup := self.work / changes.SAVED).exists():
            files[changes.SAVED] = contents(backup)
        photos = {p.name: p.read_bytes() for p in self.home.glob("photos/??/*") if p.name[0] != "."}
        rows = shown()
        orphans = False
        if self.change == "prune":
            # One by one they go; what counts is whether any is left.
            orphans = len(list(self.home.glob("blobs/*/*.safetensors"))) > len(rows)
        return rows, files, photos, orphans

    def sound(self) -> None:
        """Nothing fails in the eyes of the doctor; warnings of what a crash left are allowed."""
        failed = [check for check in check_library(places()) if check.status == "fail"]
        assert failed == []
        # Whatever was left half done is known by its name, and no part of the library.
        names = [path.name for path in self.home.iterdir()] if self.home.exists() else []
        strange = [name for name in names if not KNOWN.fullmatch(name)]
        assert not strange, strange


def shown() -> Any:
    """The rows and vectors of the library, each with its file; or that it is lost, in words."""
    library = Library.open()
    try:
        concepts = library.concepts()
    except TiError as error:
        assert "damaged" in error.message or "missing beside" in error.message
        return "lost"
    found = {
        concept.name: (
            concept.tags,
            concept.notes,
            *(rows.tolist() for rows in library.embedding(concept).rows.values()),
        )
        for concept in concepts
    }
    assert sorted(found) == library.names()
    assert sorted(concept.name for concept in library.search("a.jpg")) == [
        concept.name for concept in sorted(concepts, key=lambda c: c.name)
        if any(photo.file == "a.jpg" for photo in concept.photos)
    ]  # fmt: skip
    return found


def contents(backup: Path) -> Any:
    """The concepts in a backup, all of it checked."""
    from ticli.library import open_backup

    with open_backup(backup) as opened:
        return sorted(opened.files)
