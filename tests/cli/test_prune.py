"""`ti prune`: only what nothing needs, only after its time, and nothing a row names."""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from concepts import make_concept, make_embedding

from ticli.inversion import open_run, stale_runs
from ticli.library import Grace, Library, Unused, find_unused, remember, remove_unused, save_blob

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def orphan(library: Library, name: str = "orphan") -> Path:
    return Path(save_blob(library.places.blobs, make_concept(name), make_embedding(name)).path)


def temporary(home: Path, old: bool = True) -> Path:
    path = home / f".config.yaml.{'0' * 16}.tmp"
    path.write_bytes(b"half")
    if old:
        os.utime(path, (0, 0))
    return path


def at(library: Library, days: float, everything: bool = False) -> list[Unused]:
    """What a prune finds so many days from now."""
    return find_unused(library.places, Grace(NOW + days * DAY, everything))


def test_nothing_to_do_is_no_error(run, library_with, isolated: Path) -> None:
    assert run("prune", "-y").out == ""
    assert not isolated.exists()
    library_with("mug")
    before = {path: path.stat().st_mtime_ns for path in isolated.rglob("*") if path.is_file()}
    result = run("prune", "--json")
    assert result.json == {"removed": [], "kept": [], "bytes": 0, "dry_run": False}
    after = {path: path.stat().st_mtime_ns for path in isolated.rglob("*") if path.is_file()}
    assert after == before


def test_what_is_new_waits_whatever_its_times_say(run, library_with, isolated: Path) -> None:
    library = library_with("mug")
    path = orphan(library)
    os.utime(path, (0, 0))
    result = run("prune", "-y", "--json")
    assert result.json["removed"] == []
    assert [kept["path"] for kept in result.json["kept"]] == [str(path)]
    assert path.exists()
    # The record says since when, and a second look does not begin anew.
    seen = json.loads((isolated / "unused.json").read_text())["seen"]
    assert list(seen) == [str(path)]
    run("prune", "-y")
    assert json.loads((isolated / "unused.json").read_text())["seen"] == seen


def test_all_takes_it_at_once_and_no_concept(run, library_with) -> None:
    library = library_with("mug", "cup")
    path = orphan(library)
    planned = run("prune", "--all", "-n", "--json").json
    assert planned["dry_run"] and path.exists()
    asked = run("prune", "--all")
    assert asked.code == 2 and path.exists() and "--yes" in asked.err
    declined = run("prune", "--all", stdin="n\n", tty=True)
    assert declined.code == 1 and path.exists()
    assert str(path) in declined.err
    done = run("prune", "--all", "-y", "--json").json
    # A dry run writes no record of when it first saw a file, so `since` may be a second later.
    was, now = ([item | {"since": ""} for item in d["removed"]] for d in (planned, done))
    assert now == was and done["bytes"] > 500
    assert done["removed"][0] | {"since": ""} == {
        "kind": "concept-file", "path": str(path), "bytes": done["bytes"], "since": "",
    }  # fmt: skip
    assert not path.exists()
    assert all(library.embedding(concept).vectors == 1 for concept in library.concepts())


def test_after_fourteen_days_by_the_record_it_goes(library_with) -> None:
    library = library_with("mug")
    path = orphan(library)
    remember(library.places, at(library, 0.1))
    assert [unused.due for unused in at(library, 14.0)] == [False]
    (unused,) = at(library, 14.2)
    assert unused.due
    assert remove_unused(library.places, [unused]) == [unused]
    assert not path.exists()
    remember(library.places, at(library, 15))
    assert json.loads((library.places.home / "unused.json").read_text()) == {"seen": {}}


def test_a_clock_that_jumps_removes_nothing_early(library_with) -> None:
    library = library_with("mug")
    orphan(library)
    remember(library.places, at(library, 365))
    assert [unused.due for unused in at(library, 0)] == [False]
    assert [unused.due for unused in at(library, 370)] == [False]
    remember(library.places, at(library, -365))
    assert [unused.due for unused in at(library, 0)] == [False]
    assert [unused.due for unused in at(library, 5)] == [False]


@pytest.mark.parametrize("record", ["", "{", "[]", '{"seen": {"a": "long ago"}}', '{"seen": 1}'])
def test_a_record_that_cannot_be_read_only_delays(library_with, record: str) -> None:
    library = library_with("mug")
    orphan(library)
    (library.places.home / "unused.json").write_text(record)
    assert [unused.due for unused in at(library, 400)] == [False]


def test_what_is_named_again_meanwhile_stays(library_with) -> None:
    library = library_with("mug", "orphan")
    path = Path(library.get("orphan").path)
    with sqlite3.connect(library.places.database) as connection:
        connection.execute("DELETE FROM concepts WHERE name = 'orphan'")
    connection.close()
    found = at(library, 0, everything=True)
    assert [unused.path for unused in found] == [path]
    library.add(make_concept("orphan"), make_embedding("orphan"))
    assert remove_unused(library.places, found) == []
    assert path.exists()
    assert library.embedding(library.get("orphan")).vectors == 1


def test_photos_of_no_concept_and_what_crashes_left(library_with, run, isolated: Path) -> None:
    library = library_with("mug")
    photo = isolated / "photos" / "ab" / ("ab" * 32 + ".jpg")
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"photo")
    old, new = temporary(isolated), isolated / "blobs" / "aa" / f".x.{'1' * 16}.tmp"
    new.parent.mkdir(exist_ok=True)
    new.write_bytes(b"being written")
    (isolated / "notes.txt").write_bytes(b"somebody else's")
    # What was written within the hour may be about to be used, with --all too.
    assert [unused.due for unused in at(library, 0, everything=True)] == [False] * 3
    due = [unused for unused in at(library, 0.1, everything=True) if unused.due]
    assert {unused.kind for unused in due} == {"photo", "temporary"}
    remove_unused(library.places, due)
    assert not photo.exists() and not old.exists() and not new.exists()
    assert (isolated / "notes.txt").exists()


def test_cached_files_go_by_their_own_age(library_with, isolated: Path) -> None:
    library = library_with("mug")
    cached = isolated / "cache" / "latents" / "a.safetensors"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"x" * 100)
    assert [unused.due for unused in at(library, 13)] == [False]
    assert [(u.kind, u.due, u.bytes) for u in at(library, 14.1)] == [("cache", True, 100)]


def test_runs_go_when_nobody_continued_them_and_never_while_they_live(isolated: Path) -> None:
    folder = isolated / "runs"
    with open_run(folder, "mug", {"token": "<mug>", "steps": 5}):
        (folder / "rest").mkdir()
        live = stale_runs(folder, Grace(NOW + 99 * DAY, everything=True))
        assert [unused.kind for unused in live] == ["run-remains"]
    found = stale_runs(folder, Grace(NOW + 13 * DAY))
    assert [(unused.kind, unused.due) for unused in found] == [
        ("run", False),
        ("run-remains", False),
    ]
    assert all(unused.due for unused in stale_runs(folder, Grace(NOW + 14.1 * DAY)))
    assert not any(unused.due for unused in stale_runs(folder, Grace(NOW - 400 * DAY)))


def test_an_unfinished_run_goes_with_all(run, isolated: Path) -> None:
    with open_run(isolated / "runs", "mug", {"token": "<mug>", "steps": 5}):
        assert run("prune", "--all", "-y").out == ""
    assert run("prune", "-y").out == ""
    result = run("prune", "--all", "-y", "-q")
    assert result.lines == [str(isolated / "runs" / "mug")]
    assert not (isolated / "runs" / "mug").exists()


@pytest.mark.parametrize("damage", [b"", b"garbage" * 900, None], ids=["empty", "garbage", "lost"])
def test_a_damaged_library_is_not_pruned(library_with, run, isolated: Path, damage) -> None:
    library_with("mug")
    files = sorted(isolated.glob("blobs/*/*"))
    database = isolated / "library.db"
    database.unlink() if damage is None else database.write_bytes(damage)
    result = run("prune", "--all", "-y")
    assert result.code == 1 and "doctor --rebuild" in result.err
    assert sorted(isolated.glob("blobs/*/*")) == files


def test_in_words(run, library_with) -> None:
    path = orphan(library_with("mug"))
    waiting = run("prune", "-v")
    assert "1 more" in waiting.err and "--all takes them too" in waiting.err
    assert str(path) in waiting.err
    shown = run("prune", "--all", "-y")
    assert shown.lines[0] == "PATH\tKIND\tSIZE"
    assert shown.lines[1].startswith(f"{path}\tconcept-file\t")
    assert "freed 2." in shown.err
