"""What a concept scored stays with its row: by protocol, through a rename, not into its file."""

from __future__ import annotations

from pathlib import Path

from ticli.concept import PhotoRecord
from ticli.names import parse_token


def report(protocol: str, image: float) -> dict:
    return {"protocol": {"id": protocol}, "word": {"image": image}}


def test_reports_are_kept_one_a_protocol(library_with) -> None:
    library = library_with("mug", "cup")
    assert library.get("mug").scores == ()
    assert library.keep_scores(library.get("mug"), [report("a", 0.1), report("b", 0.2)])
    assert library.keep_scores(library.get("mug"), [report("a", 0.3)])
    assert library.get("mug").scores == (report("a", 0.3), report("b", 0.2))
    assert library.get("cup").scores == ()


def test_a_rename_and_a_tag_keep_them_and_a_replacement_does_not(library_with) -> None:
    library = library_with("mug")
    library.keep_scores(library.get("mug"), [report("a", 0.1)])
    before = library.get("mug")
    library.tag("mug", ["kitchen"])
    library.rename("mug", parse_token("cup"))
    assert library.get("cup").scores == (report("a", 0.1),)
    again = library.add(before, library.embedding(library.get("cup")))
    assert again.scores == (report("a", 0.1),)
    library.remove(["mug"])
    library_with("mug")
    assert library.get("mug").scores == ()


def test_scores_are_no_part_of_the_file(library_with) -> None:
    library = library_with("mug")
    before = library.get("mug")
    library.keep_scores(before, [report("a", 0.1)])
    after = library.get("mug")
    assert (after.sha256, after.path) == (before.sha256, before.path)
    assert b'"scores"' not in Path(after.path).read_bytes()


def test_a_concept_that_changed_meanwhile_gets_none(library_with) -> None:
    library = library_with("mug")
    scored = library.get("mug")
    library.rename("mug", parse_token("cup"))
    assert not library.keep_scores(scored, [report("a", 0.1)])
    assert library.get("cup").scores == ()


def test_kept_photos_come_in_the_concepts_order(library_with, tmp_path) -> None:
    import hashlib

    files = {}
    for name in ("b.JPG", "a.png"):
        (tmp_path / name).write_bytes(name.encode())
        files[name] = hashlib.sha256(name.encode()).hexdigest()
    records = [PhotoRecord(name, sha256) for name, sha256 in files.items()]
    library = library_with("mug", photos=(*records, PhotoRecord("gone.png", "0" * 64)))
    library.keep_photos([(sha256, tmp_path / name) for name, sha256 in files.items()])
    kept = library.kept_photos(library.get("mug"))
    assert [path.read_bytes() for path in kept] == [b"b.JPG", b"a.png"]
    assert [path.suffix for path in kept] == [".jpg", ".png"]
