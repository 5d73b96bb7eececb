"""A disk that fills up during a change is said in words, and the library stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import changes
import pytest
from harness import sample

from ticli.library import Library

# A limit on the size of any file stands in for a full disk: each write beyond it fails midway.
LIMITED = """
import resource, sys; sys.path.insert(0, sys.argv[1])
import sqlite_utils, changes
from ticli.errors import TiError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    changes.CHANGES[sys.argv[2]]()
except TiError as error:
    print(error)
    print(error.hint)
    print(error.code)
    sys.exit(9)
except SystemExit as ended:
    sys.exit(9 if ended.code == 1 else ended.code)
"""
# From nothing at all over a blob's start and the journal's to some pages of the database.
LIMITS = [0, 1, 100, 1000, 1800, 3000, 4096, 8192, 16384, 24000, 32768]


def limited(change: str, limit: int) -> subprocess.CompletedProcess[str]:
    folder = str(Path(changes.__file__).parent)
    return subprocess.run(
        [sys.executable, "-c", LIMITED, folder, change, str(limit)],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def content(home: Path) -> dict[str, bytes]:
    """Every file under the library, by its path."""
    return {str(p.relative_to(home)): p.read_bytes() for p in home.rglob("*") if p.is_file()}


@pytest.mark.parametrize("change", ["add", "rename"])
def test_a_full_disk_changes_nothing(isolated: Path, most, change: str) -> None:
    changes.prepare()
    before = content(isolated)
    names = Library.open().names()
    for limit in sample(LIMITS, most(3)):
        ended = limited(change, limit)
        assert ended.returncode == 9, (limit, ended)
        said = ended.stdout + ended.stderr
        assert "free" in said and "Traceback" not in said
        library = Library.open()
        assert library.names() == names, limit
        assert all(library.embedding(concept).vectors == 1 for concept in library.concepts())
        after = content(isolated)
        assert {path: after.get(path) for path in before} == before, limit
        # What may be left is the new word's finished file, never a part of one.
        assert not [path for path in after if path.endswith((".tmp", "-journal"))], limit
    changes.CHANGES[change]()
    assert Library.open().names() != names


def test_a_full_disk_leaves_no_half_made_library(isolated: Path, most) -> None:
    for limit in sample([0, 100, 4096, 16384, 30000], most(2)):
        ended = limited("first", limit)
        assert ended.returncode == 9, (limit, ended)
        assert Library.open().names() == [], limit
    changes.first()
    assert Library.open().names() == ["first"]


def test_removal_makes_room_even_where_there_is_little() -> None:
    changes.prepare()
    assert limited("remove", 64 * 1024).returncode == 0
    assert Library.open().names() == ["cup"]
