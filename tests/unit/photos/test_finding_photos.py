"""Which files a user means by folders, files and lists on stdin."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from ticli.errors import BadContent, NotFound, Usage
from ticli.photos import describe_skipped, find_photos, natural_key


def save(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("RGB", (8, 8), "teal").save(path, "PNG")
    return path


def names(found) -> list[str]:
    return [path.name for path in found.files]


def test_a_folder_is_read_in_natural_order_one_level_deep(folder):
    for name in ("mug-10.png", "mug-2.png", "Mug-1.PNG", "deeper/inside.png"):
        save(folder / name)
    found = find_photos([str(folder)])
    assert names(found) == ["Mug-1.PNG", "mug-2.png", "mug-10.png"]
    assert not found.named


def test_natural_order_settles_equal_names():
    ordered = sorted(["a1", "A1", "a01", "a", "1", "b"], key=natural_key)
    assert ordered == ["1", "a", "A1", "a01", "a1", "b"]


def test_hidden_and_other_files_are_counted(folder):
    save(folder / "mug.png")
    save(folder / ".hidden.png")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "notes.md").write_text("words")
    (folder / "mug.txt").write_text("a <mug>")
    (folder / "stray.txt").write_text("no photo of that name")
    found = find_photos([str(folder)])
    assert names(found) == ["mug.png"]
    assert (found.skipped_hidden, found.skipped_other) == (2, 2)
    assert describe_skipped(found) == "skipped 2 hidden files and 2 files that are no pictures"


def test_nothing_skipped_is_nothing_said(folder):
    save(folder / "mug.png")
    assert describe_skipped(find_photos([str(folder)])) == ""


def test_content_makes_a_photo_and_so_does_a_name_that_promises_one(folder):
    save(folder / "without-suffix")
    (folder / "broken.jpg").write_text("words")
    assert names(find_photos([str(folder)])) == ["broken.jpg", "without-suffix"]


def test_links_to_files_are_followed_and_links_to_folders_are_not(folder, tmp_path):
    save(tmp_path / "elsewhere" / "far.png")
    (folder / "link.png").symlink_to(tmp_path / "elsewhere" / "far.png")
    (folder / "side").symlink_to(tmp_path / "elsewhere")
    assert names(find_photos([str(folder)])) == ["link.png"]


def test_special_files_are_never_opened(folder, hang_guard):
    save(folder / "mug.png")
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop").symlink_to(folder / "loop")
    found = find_photos([str(folder)])
    assert names(found) == ["mug.png", "pipe.jpg"]
    assert found.skipped_other == 2


def test_files_and_folders_together_count_a_file_once_and_as_named(folder):
    one, two = save(folder / "a.png"), save(folder / "b.png")
    found = find_photos([str(folder), f"{folder}/../photos/a.png"])
    assert found.files == (one, two)
    assert found.named == {one}
    assert found.notes == (f"{folder}/../photos/a.png is named twice; it is used once",)


@pytest.mark.parametrize(
    "stdin", [b"%s\n\n%s\n", b"%s\r\n%s", b"%s\0%s\0"], ids=["lines", "crlf", "nul"]
)
def test_standard_input_lists_paths(folder, stdin):
    one, two = save(folder / "one two.png"), save(folder / "b.png")
    found = find_photos(["-"], stdin % (bytes(one), bytes(two)))
    assert found.files == (one, two)
    assert found.named == {one, two}


def test_nul_separates_names_that_hold_newlines_escapes_and_raw_bytes(folder):
    odd = [folder / "new\nline.png", folder / "\x1b[2Jred.png", folder / os.fsdecode(b"\xff.png")]
    for path in odd:
        save(path)
    found = find_photos(["-"], b"\0".join(os.fsencode(path) for path in odd))
    assert found.files == tuple(odd)
    assert set(find_photos([str(folder)]).files) == set(odd)


def test_a_dash_in_the_list_is_a_file_of_that_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    save(folder / "-")
    assert find_photos(["-", "-"], b"-\n").files == (Path("-"),)


def test_standard_input_must_be_there_and_name_something():
    with pytest.raises(Usage):
        find_photos(["-"])
    with pytest.raises(BadContent, match="stdin"):
        find_photos(["-"], b"\n\n")
    with pytest.raises(Usage):
        find_photos([])


def test_an_absent_path_is_not_found_with_the_nearest_name(folder):
    save(folder / "mug-1.png")
    with pytest.raises(NotFound) as caught:
        find_photos([str(folder / "mug-l.png")])
    assert str(folder / "mug-1.png") in caught.value.hint
    with pytest.raises(NotFound):
        find_photos(["-"], bytes(folder / "absent.png"))
    with pytest.raises(NotFound):
        find_photos([str(folder / "mug-1.png" / "inside.png")])
    with pytest.raises(NotFound):
        find_photos(["x" * 5000])
    with pytest.raises(NotFound, match="no such"):
        find_photos(["a\0b"])


def test_a_pattern_that_matched_nothing_is_said_to_be_one(folder):
    with pytest.raises(NotFound) as caught:
        find_photos([str(folder / "*.jpg")])
    assert "pattern" in caught.value.hint


def test_a_folder_without_photos_says_what_is_in_it(folder):
    with pytest.raises(BadContent) as caught:
        find_photos([str(folder)])
    assert caught.value.hint == "it is empty"
    (folder / "notes.md").write_text("words")
    save(folder / "deeper" / "a.png")
    with pytest.raises(BadContent) as caught:
        find_photos([str(folder)])
    assert "1 file that is no picture" in caught.value.hint
    assert "folders inside it" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_bad_content(folder):
    save(folder / "mug.png")
    folder.chmod(0o000)
    try:
        with pytest.raises(BadContent, match="cannot be read"):
            find_photos([str(folder)])
    finally:
        folder.chmod(0o700)
