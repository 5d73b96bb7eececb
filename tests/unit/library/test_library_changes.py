"""What the library keeps: adding, finding, renaming, tagging, removing."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ticli.concept import Embedding, PhotoRecord
from ticli.errors import BadContent, Conflict, NotFound, Usage
from ticli.library import Library
from ticli.names import parse_token


def blobs(library: Library) -> set[str]:
    return {path.stem for path in library.places.blobs.glob("??/*.safetensors")}


def test_reading_what_does_not_exist_finds_nothing_and_makes_nothing(library: Library) -> None:
    assert (library.names(), library.concepts(), library.search("mug")) == ([], [], [])
    assert library.find("mug") is None
    with pytest.raises(NotFound):
        library.get("mug")
    with pytest.raises(NotFound):
        library.remove(["mug"])
    assert library.touch([]) is True
    assert not library.places.home.exists()


def test_every_field_comes_back(library: Library, make) -> None:
    concept, embedding = make("<Mug>", 3, tags=("a", "b"), notes="red\nmug", noun="mug")
    added = library.add(concept, embedding)
    assert added.created and added.bytes and len(added.sha256) == 64
    assert Path(added.path).stat().st_size == added.bytes
    filled = {"created": "", "path": "", "bytes": 0, "sha256": ""}
    assert replace(added, **filled) == concept
    assert Library.open().get("MUG") == added
    np.testing.assert_array_equal(library.embedding(added).rows["clip_l"], embedding.rows["clip_l"])


def test_everything_is_private(library: Library, make) -> None:
    added = library.add(*make("mug"))
    for file in (library.places.database, Path(added.path)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (library.places.home, library.places.blobs, Path(added.path).parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_concept_is_found_bare_bracketed_and_in_any_case(library: Library, make) -> None:
    library.add(*make("<Mug>"))
    for word in ("mug", "MUG", "<mug>", "<Mug>"):
        assert library.get(word).token == "<Mug>"


def test_an_unknown_name_brings_the_nearest(library: Library, make) -> None:
    library.add(*make("mug"))
    with pytest.raises(NotFound, match="no concept named 'mgu'") as caught:
        library.get("mgu")
    assert "did you mean 'mug'?" in caught.value.hint and "ti list" in caught.value.hint
    assert caught.value.details["nearest"] == ["mug"]


def test_a_taken_name_is_refused_whatever_its_case(library: Library, make) -> None:
    first = library.add(*make("mug"))
    concept, embedding = make("<MUG>", 2)
    with pytest.raises(Conflict, match="'mug' is in the library already") as caught:
        library.add(concept, embedding)
    assert "--replace" in caught.value.hint and "--token" in caught.value.hint
    assert library.concepts() == [first]
    assert blobs(library) == {first.sha256}


def test_the_same_thing_twice_is_there_once(library: Library, make) -> None:
    first = library.add(*make("mug"))
    library.tag("mug", add=["kitchen"])
    again = library.add(*make("mug", created="2031-01-01T00:00:00Z"))
    assert again == replace(first, tags=("kitchen",))
    assert blobs(library) == {first.sha256}


def test_other_vectors_are_not_the_same_thing(library: Library, make) -> None:
    concept, embedding = make("mug")
    library.add(concept, embedding)
    with pytest.raises(Conflict):
        library.add(concept, Embedding({"clip_l": embedding.rows["clip_l"][:, ::-1].copy()}))


def test_replacing_leaves_nothing_of_the_old(library: Library, make) -> None:
    library.add(*make("mug", tags=("old",)))
    new = library.add(*make("<Mug>", 2), replace=True)
    assert library.concepts() == [new]
    assert new.tags == () and new.vectors == 2
    assert blobs(library) == {new.sha256}


def test_replacing_by_the_same_keeps_its_file(library: Library, make) -> None:
    created = "2026-01-01T00:00:00Z"
    library.add(*make("mug", created=created))
    again = library.add(*make("mug", created=created), replace=True)
    assert blobs(library) == {again.sha256}
    assert library.embedding(again).vectors == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_never_get_in(library: Library, make, value: float) -> None:
    concept, embedding = make("mug", 2)
    embedding.rows["clip_l"][1, 7] = value
    with pytest.raises(BadContent, match="not finite"):
        library.add(concept, embedding)
    assert library.names() == []


def test_removal_is_all_or_nothing(library: Library, make) -> None:
    kept = [library.add(*make(name)) for name in ("mug", "cup")]
    with pytest.raises(NotFound, match="'vase'"):
        library.remove(["mug", "vase"])
    assert len(library.concepts()) == 2
    gone = library.remove(["<cup>", "mug", "MUG"])
    assert {concept.sha256 for concept in gone} == {concept.sha256 for concept in kept}
    assert library.names() == [] and blobs(library) == set()


def test_renaming_moves_name_token_row_and_file(library: Library, make) -> None:
    before = library.add(*make("mug", tags=("a",)))
    after = library.rename("<mug>", parse_token("<Tasse>"))
    assert (after.name, after.token, after.tags) == ("tasse", "<Tasse>", ("a",))
    assert after.created == before.created and after.sha256 != before.sha256
    assert library.concepts() == [after]
    assert blobs(library) == {after.sha256}
    assert [concept.name for concept in library.search("tasse")] == ["tasse"]
    assert library.search("mug") == []
    assert library.embedding(after).vectors == 1


def test_renaming_may_change_the_case_alone(library: Library, make) -> None:
    library.add(*make("mug"))
    assert library.rename("mug", parse_token("<MUG>")).token == "<MUG>"
    same = library.rename("mug", parse_token("<MUG>"))
    assert blobs(library) == {same.sha256}


def test_renaming_to_a_taken_name_changes_nothing(library: Library, make) -> None:
    library.add(*make("mug"))
    library.add(*make("cup"))
    before = library.concepts()
    with pytest.raises(Conflict, match="'cup' is in the library already"):
        library.rename("mug", parse_token("Cup"))
    assert library.concepts() == before


def test_tags_are_added_once_removed_and_searchable(library: Library, make) -> None:
    library.add(*make("mug"))
    assert library.tag("mug", add=["kitchen", " red ", "kitchen"]).tags == ("kitchen", "red")
    assert library.tag("mug", remove=["red", "absent"], notes="from Ana").tags == ("kitchen",)
    assert library.tag("mug").notes == "from Ana"
    assert [concept.name for concept in library.search("ana")] == ["mug"]
    for bad in ("", "  ", "a\nb", "\x1b[31m"):
        with pytest.raises(Usage):
            library.tag("mug", add=[bad])


def test_use_is_recorded(library: Library, make) -> None:
    library.add(*make("mug"))
    assert library.touch(["<Mug>", "gone"]) is True
    assert library.get("mug").used.endswith("Z")


def test_a_shared_file_outlives_one_of_its_rows(library: Library, make) -> None:
    concept, embedding = make("mug", created="2026-01-01T00:00:00Z")
    added = library.add(concept, embedding)
    connection = __import__("sqlite3").connect(library.places.database)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(concepts)")][2:]
    same = ", ".join(columns)
    connection.execute(f"INSERT INTO concepts (name, {same}) SELECT 'twin', {same} FROM concepts")
    connection.commit()
    connection.close()
    library.remove(["mug"])
    assert blobs(library) == {added.sha256}
    assert library.embedding(library.get("twin")).vectors == 1
    library.remove(["twin"])
    assert blobs(library) == set()


def test_kept_photos_live_as_long_as_a_concept_of_them(
    library: Library, make, tmp_path: Path
) -> None:
    photo = tmp_path / "Front.JPG"
    photo.write_bytes(b"a photo")
    sha256 = hashlib.sha256(b"a photo").hexdigest()
    records = (PhotoRecord("Front.JPG", sha256),)
    assert library.keep_photos([(sha256, photo), ("0" * 64, photo)]) == [photo]
    assert library.keep_photos([(sha256, tmp_path / "gone.jpg")]) == [tmp_path / "gone.jpg"]
    kept = library.places.home / "photos" / sha256[:2] / f"{sha256}.jpg"
    for name in ("mug", "cup"):
        library.add(*make(name, photos=records))
    library.remove(["mug"])
    assert kept.read_bytes() == b"a photo" and stat.S_IMODE(kept.stat().st_mode) == 0o600
    library.add(*make("cup", 2, photos=records), replace=True)
    assert kept.exists()
    library.remove(["cup"])
    assert not kept.exists()


@pytest.mark.parametrize("sha256", ["..", "*", "../../library", "", "a/../.."])
def test_a_row_cannot_name_other_files_for_removal(library: Library, make, sha256: str) -> None:
    library.add(*make("mug", photos=(PhotoRecord("a.jpg", sha256),)))
    bystanders = [library.places.home / "photos" / "ab" / "x.jpg", library.places.home / "x.txt"]
    for path in bystanders:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    library.remove(["mug"])
    assert all(path.exists() for path in [*bystanders, library.places.database])


def test_a_home_with_odd_letters_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make
) -> None:
    monkeypatch.setenv("TI_HOME", str(tmp_path / "a b%20c?d#é"))
    library = Library.open(write=True)
    library.add(*make("mug"))
    assert Library.open().names() == ["mug"]
    assert (tmp_path / "a b%20c?d#é" / "library.db").is_file()


def test_reading_imports_neither_numpy_nor_sqlite_utils(library: Library, make) -> None:
    library.add(*make("mug"))
    code = (
        "import sys; from ticli.library.library import Library, Query; l = Library.open();"
        "assert l.names() == ['mug'] and l.concepts(Query(pattern='m*')) and l.search('mug');"
        "print(sorted({'numpy', 'torch', 'sqlite_utils', 'safetensors', 'PIL', 'yaml'} "
        "& sys.modules.keys()))"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert seen.stdout.strip() == "[]"
