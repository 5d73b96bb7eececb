"""`ti doctor`: what is well is said to be, what is not is named with what puts it right."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from concepts import make_concept, make_embedding

from ticli.library import Library, encode_blob, save_blob


@pytest.fixture
def check(run):
    """check() → status of every check by its id, and the whole document."""

    def call(*arguments: str):
        result = run("doctor", "--fast", "--json", *arguments)
        statuses = {found["id"]: found["status"] for found in result.json["checks"]}
        assert result.json["ok"] == ("fail" not in statuses.values())
        assert result.code == (0 if result.json["ok"] else 1)
        return statuses, {found["id"]: found for found in result.json["checks"]}

    return call


def blob(library: Library, name: str) -> Path:
    return Path(library.get(name).path)


def test_a_sound_library_is_well(check, library_with) -> None:
    library_with("mug", "cup")
    statuses, _ = check()
    assert set(statuses.values()) == {"ok"}
    assert {"versions", "model", "permissions", "locks", "disk", "database"} <= set(statuses)
    assert {"search", "concept-files", "orphan-files", "unfinished-runs"} <= set(statuses)


def test_no_library_is_well_and_none_is_made(check, isolated: Path) -> None:
    statuses, _ = check()
    assert set(statuses.values()) == {"ok"}
    assert not isolated.exists()


def test_nothing_is_changed_by_looking(check, library_with, isolated: Path) -> None:
    library_with("mug")
    before = {path: path.stat().st_mtime_ns for path in [isolated, *isolated.rglob("*")]}
    check()
    after = {path: path.stat().st_mtime_ns for path in [isolated, *isolated.rglob("*")]}
    assert after == before


def test_a_file_that_is_gone_torn_or_a_link_is_named(check, library_with, run, tmp_path) -> None:
    library = library_with("gone", "torn", "link", "good")
    blob(library, "gone").unlink()
    torn = blob(library, "torn")
    torn.write_bytes(torn.read_bytes()[:-1] + b"\xff")
    linked = blob(library, "link")
    linked.rename(tmp_path / "elsewhere")
    linked.symlink_to(tmp_path / "elsewhere")
    found = [
        (item["items"][0], item["message"])
        for item in run("doctor", "--fast", "--json").json["checks"]
        if item["id"] == "concept-file"
    ]
    assert {name for name, _ in found} == {"gone", "torn", "link"}
    said = dict(found)
    assert "is missing" in said["gone"] and "is damaged" in said["torn"]
    assert "is a link" in said["link"]
    assert check()[0]["concept-file"] == "fail"


def test_what_no_row_names_is_counted(check, library_with, isolated: Path) -> None:
    library = library_with("mug")
    save_blob(library.places.blobs, make_concept("lost"), make_embedding("lost"))
    photo = isolated / "photos" / "ab" / ("ab" * 32 + ".jpg")
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"x")
    (isolated / "blobs" / ".x.safetensors.0123456789abcdef.tmp").write_bytes(b"x")
    (isolated / f".config.yaml.{'0' * 16}.tmp").write_bytes(b"x")
    (isolated / "library.db.new").write_bytes(b"x")
    statuses, found = check()
    assert statuses["orphan-files"] == statuses["orphan-photos"] == "warn"
    assert found["orphan-files"]["fix"] == "ti prune"
    assert statuses["photos"] == "warn"
    assert len(found["temporary-files"]["items"]) == 2


def test_others_who_may_look_in_are_named(check, library_with, isolated: Path) -> None:
    library_with("mug")
    isolated.chmod(0o755)
    (isolated / "library.db").chmod(0o644)
    statuses, found = check()
    assert statuses["permissions"] == "warn"
    assert found["permissions"]["items"] == [str(isolated), str(isolated / "library.db")]


def test_rows_that_make_no_concept_and_words_of_no_row(check, library_with, isolated) -> None:
    library_with("mug", "cup")
    connection = sqlite3.connect(isolated / "library.db")
    connection.execute("UPDATE concepts SET recipe = '{' WHERE name = 'mug'")
    connection.execute("DELETE FROM words WHERE rowid = 2")
    connection.commit()
    connection.close()
    statuses, found = check()
    assert statuses["rows"] == statuses["search"] == "fail"
    assert found["rows"]["items"] == ["mug"]


@pytest.mark.parametrize("damage", [b"", b"garbage" * 900], ids=["empty", "garbage"])
def test_a_damaged_database_is_told_and_rebuilt(check, library_with, run, isolated, damage) -> None:
    library = library_with("mug", "cup", notes="blue", noun="mug")
    before = {c.name: (c.sha256, c.notes, c.noun, c.recipe) for c in library.concepts()}
    (isolated / "library.db").write_bytes(damage)
    statuses, found = check()
    assert statuses["database"] == "fail"
    assert found["database"]["fix"] == "ti doctor --rebuild"
    result = run("doctor", "--rebuild", "--fast")
    assert result.code == 0
    assert "2 concepts are back" in result.out
    assert "tags and notes" in result.err
    after = {c.name: (c.sha256, c.notes, c.noun, c.recipe) for c in library.concepts()}
    assert after == before
    (aside,) = isolated.glob("library-damaged-*.db")
    assert aside.read_bytes() == damage
    assert set(check()[0].values()) == {"ok"}
    assert [concept.name for concept in library.search("blue")]


def test_a_lost_database_is_rebuilt(library_with, run, isolated: Path) -> None:
    library = library_with("mug", "cup")
    (isolated / "library.db").unlink()
    assert run("list").code == 1
    assert run("doctor", "--rebuild", "--fast").code == 0
    assert library.names() == ["cup", "mug"]


def test_what_the_damaged_rows_still_tell_is_kept(library_with, run, isolated: Path) -> None:
    names = [f"word-{number:03}" for number in range(120)]
    library = library_with(*names)
    for name in (names[0], names[-1]):
        library.tag(name, add=["later"], notes="changed afterwards")
    library.touch([names[0]])
    database = isolated / "library.db"
    content = bytearray(database.read_bytes())
    middle = content.index(names[60].encode()) // 4096 * 4096
    content[middle : middle + 4096] = bytes(4096)
    database.write_bytes(content)
    assert run("doctor", "--rebuild", "--fast").code == 0
    assert library.names() == names
    assert [concept.name for concept in library.search("afterwards")] == [names[0], names[-1]]
    assert library.get(names[0]).tags == library.get(names[-1]).tags == ("later",)
    assert library.get(names[0]).used


def test_a_whole_database_is_left_alone(library_with, run, isolated: Path) -> None:
    library_with("mug")
    before = (isolated / "library.db").read_bytes()
    result = run("doctor", "--rebuild", "--fast")
    assert result.code == 0 and "stays as it is" in result.out
    assert (isolated / "library.db").read_bytes() == before
    assert not list(isolated.glob("library-damaged-*"))


def test_of_two_files_of_one_name_the_newer_comes_back(library_with, run, isolated: Path) -> None:
    library = library_with("mug")
    old = make_concept("mug", created="2020-01-01T00:00:00Z")
    left = save_blob(library.places.blobs, old, make_embedding("other"))
    newest = library.get("mug").sha256
    broken = library.places.blobs / "aa" / ("aa" * 32 + ".safetensors")
    broken.parent.mkdir(exist_ok=True)
    broken.write_bytes(encode_blob(old, make_embedding("third")))
    (isolated / "library.db").unlink()
    result = run("doctor", "--rebuild", "--fast", "--json")
    found = {check["id"]: check for check in result.json["checks"]}
    assert library.get("mug").sha256 == newest
    assert found["rebuild-left-out"]["items"] == [left.path]
    assert found["rebuild-unreadable"]["items"] == [str(broken)]


def test_neither_a_newer_nor_a_foreign_database_is_rebuilt(library_with, run, isolated) -> None:
    assert run("doctor", "--rebuild").code == 3
    library_with("mug")
    database = isolated / "library.db"
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    before = database.read_bytes()
    result = run("doctor", "--rebuild", "--fast")
    assert (result.code, database.read_bytes()) == (4, before)
    assert "newer ti" in result.err
    for path in isolated.glob("blobs/*/*"):
        path.unlink()
    database.unlink()
    other = sqlite3.connect(database)
    other.execute("CREATE TABLE bills (sum)")
    other.commit()
    other.close()
    before = database.read_bytes()
    result = run("doctor", "--rebuild", "--fast")
    assert (result.code, database.read_bytes()) == (1, before)
    assert "another program" in result.err


def test_an_unfinished_run_that_is_damaged_is_named(check, isolated: Path) -> None:
    run_folder = isolated / "runs" / "mug"
    run_folder.mkdir(parents=True)
    (run_folder / "run.json").write_text(json.dumps({"token": "<mug>", "steps": 9}))
    assert check()[0]["unfinished-runs"] == "ok"
    (run_folder / "checkpoint.safetensors").write_bytes(b"half")
    statuses, found = check()
    assert statuses["unfinished-run"] == "warn"
    assert "checkpoint.safetensors is damaged" in found["unfinished-run"]["message"]
    (isolated / "runs" / "rest").mkdir()
    assert check()[0]["run-remains"] == "warn"


def test_in_words_and_for_scripts(run, library_with, isolated: Path) -> None:
    library_with("mug")
    piped, shown = run("doctor", "--fast"), run("doctor", "--fast", tty=True)
    assert piped.lines[0] == "STATUS\tCHECK\tMESSAGE\tFIX"
    assert all(line.count("\t") == 3 for line in piped.lines)
    assert "database: sound, with 1 concept" in shown.out
    assert run("doctor", "--fast", "-q").out == ""
    isolated.chmod(0o755)
    assert run("doctor", "--fast", "-q").lines == ["permissions"]
    assert "chmod -R go=" in run("doctor", "--fast", tty=True).out


def test_a_broken_config_file_and_a_missing_model_are_checks(check, isolated, monkeypatch) -> None:
    isolated.mkdir()
    (isolated / "config.yaml").write_text("colour: mauve\n")
    assert check()[0]["config"] == "fail"
    (isolated / "config.yaml").unlink()
    monkeypatch.setenv("TI_MODEL", "/nowhere/at-all")
    statuses, found = check()
    assert statuses["model"] == "fail"
    assert "env TI_MODEL" in found["model"]["message"]


def test_the_device_is_looked_at_unless_fast(run) -> None:
    result = run("doctor", "--json")
    found = {check["id"]: check for check in result.json["checks"]}
    assert "cpu" in found["device"]["message"] or found["device"]["status"] == "ok"
