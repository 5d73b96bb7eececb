"""A field declared in `Concept`, with a column for it, is everywhere that a concept is written."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from safetensors import safe_open

import ticli

KEPT = Path(__file__).parents[2] / "data" / "v1"
LAST_FIELD = "    scores: tuple[Mapping[str, Any], ...] = fact("
LAST_MIGRATION = "add_about,\n"
NEW_FIELDS = """
    mood: str = fact("calm", optional=True)
    places: tuple[str, ...] = fact((), optional=True, shared="never", check=lambda _: ("attic",))
"""
NEW_COLUMNS = """add_about, lambda db: (
    db.execute("ALTER TABLE concepts ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'"),
    db.execute("ALTER TABLE concepts ADD COLUMN places TEXT NOT NULL DEFAULT '[]'"),
),
"""
CHANGE = """
from dataclasses import replace
from ticli.library import Library
library = Library.open(write=True)
mug = library.get("red-mug")
changed = replace(mug, mood="wild", places=("cellar",))
library.add(changed, library.embedding(mug), replace=True)
"""
REBUILD = """
from ticli.library.upkeep.rebuilding import rebuild
from ticli.paths import places
rebuild(places())
"""


@pytest.fixture
def run(tmp_path: Path):
    """Run `ti`, or a program, with a copy of the package that declares two more fields."""
    package = Path(ticli.__file__).parent
    ignored = shutil.ignore_patterns("starter", "clip_tokenizer", "__pycache__")
    shutil.copytree(package, tmp_path / "code" / "ticli", ignore=ignored)
    concept = tmp_path / "code" / "ticli" / "concept.py"
    before, field, after = concept.read_text("utf-8").partition(LAST_FIELD)
    line, _, rest = after.partition("\n")
    concept.write_text(f"{before}{field}{line}{NEW_FIELDS}{rest}", "utf-8")
    database = tmp_path / "code" / "ticli" / "library" / "database.py"
    text = database.read_text("utf-8")
    assert text.count(LAST_MIGRATION) == 1
    database.write_text(text.replace(LAST_MIGRATION, NEW_COLUMNS), "utf-8")
    shutil.copytree(KEPT, tmp_path / "library")
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path / "code"),
        "TI_HOME": str(tmp_path / "library"),
    }

    def start(*arguments: str, program: str = "") -> str:
        call = ["-c", program] if program else ["-m", "ticli", *arguments]
        done = subprocess.run(
            [sys.executable, *call], env=environment, capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return start


def metadata(path: str) -> dict[str, str]:
    with safe_open(path, "np") as file:
        return file.metadata()


def test_it_is_found_everywhere(run, tmp_path: Path) -> None:
    # The library of version 1 knows nothing of the fields.
    assert run("show", "ink", "--field", "mood") == "calm\n"
    run(program=CHANGE)
    shown = json.loads(run("show", "red-mug", "--json"))
    assert (shown["mood"], shown["places"]) == ("wild", ["cellar"])
    listed = json.loads(run("list", "--json", "--sort", "name"))
    assert [concept["mood"] for concept in listed] == ["calm", "calm", "wild"]
    assert [concept["places"] for concept in listed] == [[], [], ["cellar"]]
    assert "mood\twild" in run("show", "red-mug")
    assert run("show", "red-mug", "--field", "places") == "cellar\n"
    with closing(sqlite3.connect(tmp_path / "library" / "library.db")) as connection:
        row = connection.execute("SELECT mood, places FROM concepts WHERE name = 'red-mug'")
        assert row.fetchone() == ("wild", '["cellar"]')
    own = json.loads(metadata(shown["path"])["ti.row"])
    assert (own["mood"], own["places"]) == ("wild", ["cellar"])
    run("export", "red-mug", "--for", "ti", "-o", "mug.safetensors")
    exported = json.loads(metadata(str(tmp_path / "mug.safetensors"))["ti.row"])
    assert (exported["mood"], exported["places"]) == ("wild", [])
    run("import", "mug.safetensors", "--token", "copy")
    copied = json.loads(run("show", "copy", "--json"))
    assert (copied["mood"], copied["places"]) == ("wild", ["attic"])
    # Made anew from the files, the database still has them.
    (tmp_path / "library" / "library.db").unlink()
    run(program=REBUILD)
    assert run("show", "red-mug", "--field", "mood") == "wild\n"
