"""`ti backup` and `ti restore`: all of a library there and back, and nothing else in."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from concepts import make_concept, make_embedding

from ticli.concept import PhotoRecord
from ticli.library import Library

KEPT = Path(__file__).parents[1] / "data" / "v1"
PHOTO = b"not really a photo"
PHOTO_HASH = hashlib.sha256(PHOTO).hexdigest()


@pytest.fixture
def filled(library_with, tmp_path: Path) -> Library:
    """A library with tags, notes, scores, use and a kept photo."""
    library = library_with("cup", "mug", photos=(PhotoRecord("front.jpg", PHOTO_HASH),))
    photo = tmp_path / "front.jpg"
    photo.write_bytes(PHOTO)
    assert library.keep_photos([(PHOTO_HASH, photo)]) == []
    library.tag("mug", add=["later"], notes="blue")
    library.touch(["mug"])
    return library


@pytest.fixture
def saved(filled: Library, run, tmp_path: Path) -> Path:
    path = tmp_path / "library.zip"
    assert run("backup", str(path)).code == 0
    return path


def all_of(library: Library) -> list[dict]:
    """Every row, in the order of rows, and that each has its file."""
    concepts = sorted(library.concepts(), key=lambda concept: concept.name)
    assert all(library.embedding(concept).vectors for concept in concepts)
    return [concept.as_json() for concept in concepts]


def wipe(home: Path) -> None:
    shutil.rmtree(home)


def state(home: Path) -> dict[str, bytes]:
    files = [path for path in home.rglob("*") if path.is_file() and path.name != "library.lock"]
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


def test_everything_comes_back(filled, saved: Path, run, isolated: Path) -> None:
    before, photos = all_of(filled), list((isolated / "photos").rglob("*.jpg"))
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    wipe(isolated)
    result = run("restore", str(saved))
    assert (result.code, sorted(result.lines)) == (0, ["cup", "mug"])
    assert all_of(filled) == before
    assert list((isolated / "photos").rglob("*.jpg")) == photos
    assert photos[0].read_bytes() == PHOTO
    assert [concept.name for concept in filled.search("blue")] == ["mug"]
    checks = run("doctor", "--fast", "--json").json["checks"]
    assert {check["status"] for check in checks} == {"ok"}
    assert stat.S_IMODE((isolated / "library.db").stat().st_mode) == 0o600
    assert not list(isolated.glob("restore*"))


def test_the_file_is_a_plain_zip_that_says_what_is_in_it(saved: Path, filled) -> None:
    with zipfile.ZipFile(saved) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        manifest = json.loads(archive.read("manifest.json"))
        for name, said in manifest["files"].items():
            content = archive.read(name)
            assert len(content) == said["bytes"]
            assert hashlib.sha256(content).hexdigest() == said["sha256"]
        assert set(archive.namelist()) == {*manifest["files"], "manifest.json"}
    assert (manifest["ti_backup"], manifest["concepts"]) == (1, 2)
    assert not any(str(filled.places.home) in name for name in archive.namelist())


def test_through_a_pipe(filled, run, isolated: Path) -> None:
    before = all_of(filled)
    sent = run("backup", "-")
    assert sent.code == 0
    wipe(isolated)
    assert run("restore", "-", stdin=sent.out_bytes).code == 0
    assert all_of(filled) == before
    assert run("backup", "-", tty=True).code == 2
    assert run("backup", "-", "--json").code == 2
    assert run("restore", "-", tty=True).code == 2


def test_a_file_is_not_overwritten_unless_forced(saved: Path, run, tmp_path: Path) -> None:
    before = saved.read_bytes()
    assert run("backup", str(saved)).code == 4
    assert saved.read_bytes() == before
    result = run("backup", str(saved), "--force", "--json")
    assert result.json | {"bytes": 0} == {
        "path": str(saved), "bytes": 0, "concepts": 2, "photos": 1, "left_out": [],
    }  # fmt: skip
    assert run("backup", str(tmp_path / "nowhere" / "x.zip")).code == 3
    assert not list(tmp_path.glob(".*.tmp"))


def test_no_library_is_no_backup(run, tmp_path: Path, isolated: Path) -> None:
    result = run("backup", str(tmp_path / "x.zip"))
    assert (result.code, (tmp_path / "x.zip").exists()) == (3, False)
    assert not isolated.exists()


def test_a_broken_concept_is_left_out_and_said(filled, run, tmp_path: Path, isolated) -> None:
    Path(filled.get("cup").path).write_bytes(b"torn")
    path = tmp_path / "x.zip"
    result = run("backup", str(path), "--json")
    assert result.code == 1
    assert [item["name"] for item in result.json["left_out"]] == ["cup"]
    wipe(isolated)
    assert run("restore", str(path)).code == 0
    assert filled.names() == ["cup", "mug"]
    assert filled.embedding(filled.get("mug")).vectors == 1
    failed = [c["items"][0] for c in run("doctor", "--fast", "--json").json["checks"]
              if c["status"] == "fail"]  # fmt: skip
    assert failed == ["cup"]


def test_the_old_library_is_put_aside_and_can_come_back(saved, filled, run, isolated) -> None:
    filled.remove(["cup"])
    filled.add(make_concept("newer"), make_embedding("newer"))
    old = all_of(filled)
    asked = run("restore", str(saved))
    assert (asked.code, all_of(filled)) == (2, old)
    assert run("restore", str(saved), stdin="n\n", tty=True).code == 1
    assert all_of(filled) == old
    result = run("restore", str(saved), "-y", "--json")
    aside = Path(result.json["put_aside"])
    assert result.json["restored"] == ["cup", "mug"] and aside.exists()
    assert filled.names() == ["cup", "mug"]
    # What only the old library names is not rubbish.
    assert run("prune", "--all", "-y", "--json").json["removed"] == []
    shutil.copy(aside, isolated / "library.db")
    assert all_of(filled) == old


def test_merge_adds_and_replaces_nothing(saved, filled, run) -> None:
    filled.remove(["cup"])
    filled.tag("mug", add=["here"])
    filled.add(make_concept("newer"), make_embedding("newer"))
    planned = run("restore", str(saved), "--merge", "-n", "--json").json
    result = run("restore", str(saved), "--merge", "--json").json
    assert planned == result | {"dry_run": True}
    assert (result["restored"], result["skipped"]) == (["cup"], ["mug"])
    assert filled.names() == ["cup", "mug", "newer"]
    assert filled.get("mug").tags == ("later", "here")
    filled.remove(["cup"])
    filled.add(make_concept("cup"), make_embedding("another cup"))
    before = all_of(filled)
    clash = run("restore", str(saved), "--merge")
    assert (clash.code, all_of(filled)) == (4, before)
    assert "cup" in clash.err


def test_a_dry_run_changes_nothing(saved, filled, run, isolated: Path) -> None:
    before = state(isolated)
    result = run("restore", str(saved), "-n")
    assert (result.code, result.lines) == (0, ["cup", "mug"])
    assert state(isolated) == before
    wipe(isolated)
    assert run("restore", str(saved), "-n").code == 0
    assert not isolated.exists()


def test_over_a_damaged_library(saved, filled, run, isolated: Path) -> None:
    before = all_of(filled)
    (isolated / "library.db").write_bytes(b"garbage" * 1000)
    assert run("restore", str(saved)).code == 2
    assert run("restore", str(saved), "--merge").code == 1
    result = run("restore", str(saved), "-y", "--json")
    assert Path(result.json["put_aside"]).read_bytes() == b"garbage" * 1000
    assert all_of(filled) == before


def test_over_a_newer_library_and_of_a_newer_one(saved, filled, run, isolated: Path) -> None:
    with sqlite3.connect(isolated / "library.db") as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    before = state(isolated)
    assert run("restore", str(saved), "-y").code == 4
    assert state(isolated) == before


def test_a_backup_of_an_old_library(run, tmp_path: Path, isolated: Path) -> None:
    """Made by zipping what version 1 wrote: it is brought up to date on its way in."""
    path = tmp_path / "old.zip"
    members = {"library.db": (KEPT / "library.db").read_bytes()}
    for blob in KEPT.glob("blobs/*/*"):
        members[blob.relative_to(KEPT).as_posix()] = blob.read_bytes()
    write(path, members)
    assert run("restore", str(path)).code == 0
    assert Library.open().names() == ["both", "ink", "red-mug"]
    assert {path.name for path in isolated.iterdir()} == {"library.db", "library.lock", "blobs"}


def write(path: Path, members: dict[str, bytes], **manifest) -> None:
    """Write a backup by hand, with a manifest that fits unless told otherwise."""
    files = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in members.items()
    }
    document = {"ti_backup": 1, "concepts": 1, "left_out": [], "files": files} | manifest
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr("manifest.json", json.dumps(document))


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != "manifest.json"}


def edited(path: Path, statement: str) -> None:
    """Change the database inside a backup, whose manifest then fits again."""
    members = contents(path)
    database = path.with_name("edited.db")
    database.write_bytes(members["library.db"])
    connection = sqlite3.connect(database)
    connection.executescript(statement)
    connection.close()
    write(path, members | {"library.db": database.read_bytes()})
    database.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)


def wrong_hash(path: Path) -> None:
    members = contents(path)
    files = {
        n: {"bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in members.items()
    }
    files["library.db"]["sha256"] = "0" * 64
    write(path, members, files=files)


def other_name(path: Path) -> None:
    members = contents(path)
    name = next(name for name in members if name.startswith("blobs"))
    write(path, members | {name: members[name] + b" "})


def packed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("library.db", bytes(64 << 20))
        archive.writestr("manifest.json", json.dumps({"ti_backup": 1, "files": {}}))
    assert path.stat().st_size < 1 << 20


def unsafe(name: str) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        write(path, contents(path) | {name: b"x"})

    build.__name__ = f"named {name[:12]!r}"
    return build


def twice(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("library.db", b"another")


def sharing(path: Path) -> None:
    """Two members of the list that have the same bytes: small files that unpack to large ones."""
    content = bytearray(path.read_bytes())
    first = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", first + 4)
    content[second + 42 : second + 46] = content[first + 42 : first + 46]
    path.write_bytes(content)


def lies(path: Path) -> None:
    """The list of members says that one is huge."""
    content = bytearray(path.read_bytes())
    first = content.index(b"PK\x01\x02")
    struct.pack_into("<II", content, first + 20, 0xF0000000, 0xF0000000)
    path.write_bytes(content)


def no_manifest(path: Path) -> None:
    members = contents(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def manifest(text: str) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        members = contents(path)
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
            archive.writestr("manifest.json", text)

    build.__name__ = f"manifest {text[:14]!r}"
    return build


def sql(statement: str) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        edited(path, statement)

    build.__name__ = f"sql {statement[:48]}"
    return build


def not_a_database(path: Path) -> None:
    write(path, contents(path) | {"library.db": b"garbage" * 500})


def a_concept_less(path: Path) -> None:
    members = contents(path)
    write(path, {n: d for n, d in members.items() if not n.startswith("blobs")})


def a_file_of_no_concept(path: Path) -> None:
    members = contents(path)
    data = b"\x02\0\0\0\0\0\0\0{}"
    sha256 = hashlib.sha256(data).hexdigest()
    old = next(name for name in members if name.startswith("blobs"))
    members[f"blobs/{sha256[:2]}/{sha256}.safetensors"] = data
    write(path, members)
    edited(path, f"UPDATE concepts SET sha256 = '{sha256}' WHERE sha256 = '{Path(old).stem}'")


HOSTILE = [
    cut,
    flipped,
    wrong_hash,
    other_name,
    packed,
    unsafe("../../evil"),
    unsafe("/tmp/evil"),
    unsafe("blobs/ab/../../../evil.safetensors"),
    unsafe("config.yaml"),
    unsafe("blobs\\ab\\x"),
    unsafe("\x1b[2Jevil"),
    twice,
    sharing,
    lies,
    no_manifest,
    manifest("{"),
    manifest("[]"),
    manifest('{"ti_backup": 1}'),
    manifest('{"ti_backup": 1, "files": {}}'),
    manifest('{"ti_backup": 2, "files": {}}'),
    manifest('{"ti_backup": 1, "files": {"library.db": 7}}'),
    manifest("[" * 100_000),
    not_a_database,
    a_concept_less,
    a_file_of_no_concept,
    sql("UPDATE concepts SET sha256 = '../../../../evil' WHERE name = 'mug'"),
    sql("UPDATE concepts SET sha256 = '' WHERE name = 'mug'"),
    sql("UPDATE concepts SET name = '../evil' WHERE name = 'mug'"),
    sql("UPDATE concepts SET token = '<other>' WHERE name = 'mug'"),
    sql("UPDATE concepts SET name = x'ff00' WHERE name = 'mug'"),
    sql("UPDATE concepts SET recipe = '{' WHERE name = 'mug'"),
    sql("UPDATE concepts SET widths = '{\"clip_l\": 999}' WHERE name = 'mug'"),
    sql("""UPDATE concepts SET photos = '[{"file": "a", "sha256": "../../x"}]'"""),
    sql("UPDATE concepts SET used = x'ff00'"),
    sql("CREATE TRIGGER evil AFTER INSERT ON concepts BEGIN DELETE FROM concepts; END"),
    sql("CREATE VIEW evil AS SELECT 1"),
    sql("ALTER TABLE concepts ADD COLUMN evil TEXT"),
    sql("PRAGMA application_id = 7"),
    sql("PRAGMA user_version = 99"),
]


@pytest.mark.parametrize("attack", HOSTILE, ids=lambda attack: attack.__name__)
def test_a_hostile_backup_is_refused_and_nothing_changes(
    saved, filled, run, isolated: Path, tmp_path: Path, attack
) -> None:
    attack(saved)
    before, around = state(isolated), {path.name for path in tmp_path.iterdir()}
    result = run("restore", str(saved), "-y", "--json")
    assert result.code in (1, 4), result
    assert result.json["error"]["message"]
    assert "Traceback" not in result.err and "\x1b[2J" not in result.err
    assert state(isolated) == before
    assert {path.name for path in tmp_path.iterdir()} == around
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>", os.urandom(5000)], ids=len)
def test_what_is_no_backup_is_said_to_be_none(run, tmp_path: Path, content, isolated) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    result = run("restore", str(path), "-y")
    assert (result.code, isolated.exists()) == (1, False)
    assert str(path) in result.err
    assert run("restore", str(tmp_path / "absent.zip")).code == 3
    assert run("restore", str(tmp_path)).code == 1
