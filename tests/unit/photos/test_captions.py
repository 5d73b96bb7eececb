"""PHOTO.txt beside a photo becomes its sentence."""

from __future__ import annotations

import os

import pytest
from PIL import Image

from ticli.errors import BadContent
from ticli.names import parse_token
from ticli.photos import open_photo, read_captions

MUG = parse_token("<Mug>")


def photo(folder, name: str, colour: str, caption: str | bytes | None = None):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)
    if caption is not None:
        data = caption.encode() if isinstance(caption, str) else caption
        path.with_suffix(".txt").write_bytes(data)
    return open_photo(path)


@pytest.mark.parametrize(
    ("caption", "sentence"),
    [
        ("a <mug> on a table", "a {} on a table"),
        ("a <MUG> on a table", "a {} on a table"),
        ("a {} on a table", "a {} on a table"),
        ("\ufeffa <mug>,\r\n\r\n  red\tlight \n", "a {}, red light"),
        ("a <mug> beside a <cat>, <3 {x}", "a {} beside a <cat>, <3 {x}"),
    ],
)
def test_the_token_marks_its_place(folder, caption, sentence):
    own = photo(folder, "a.png", "red", caption)
    captions = read_captions([own], MUG, strict=True)
    assert captions.by_photo == {own.sha256: sentence}
    assert (captions.added, captions.missing) == (0, ())


def test_a_caption_without_the_token_gets_it_in_front(folder):
    one = photo(folder, "a.png", "red", "a red cup")
    two = photo(folder, "b.png", "blue", "a <mug>")
    captions = read_captions([one, two], MUG)
    assert captions.by_photo == {one.sha256: "{}, a red cup", two.sha256: "a {}"}
    assert captions.added == 1
    with pytest.raises(BadContent, match=r"a\.txt.*<Mug>"):
        read_captions([one, two], MUG, strict=True)


def test_another_concept_is_not_the_token(folder):
    own = photo(folder, "a.png", "red", "a <mugs> and a mug")
    assert read_captions([own], MUG).by_photo[own.sha256] == "{}, a <mugs> and a mug"


def test_photos_without_a_caption_are_named(folder):
    absent = photo(folder, "a.png", "red")
    blank = photo(folder, "b.png", "blue", " \n")
    captions = read_captions([absent, blank], MUG, strict=True)
    assert captions.missing == ("a.png", "b.png")
    assert not captions.by_photo


def test_photos_of_one_name_in_two_folders_keep_their_own(folder):
    one = photo(folder, "one/a.png", "red", "first {}")
    two = photo(folder, "two/a.png", "blue", "second {}")
    captions = read_captions([one, two], MUG)
    assert captions.by_photo == {one.sha256: "first {}", two.sha256: "second {}"}


def test_a_long_caption_is_cut_between_letters(folder):
    own = photo(folder, "a.png", "red", "{}" + "é" * 4000)
    sentence = read_captions([own], MUG).by_photo[own.sha256]
    assert sentence == "{}" + "é" * 2047
    own = photo(folder, "b.png", "blue", "{} " + "é" * 4000)
    assert read_captions([own], MUG).by_photo[own.sha256] == "{} " + "é" * 2046


def test_captions_that_cannot_be_read(folder, hang_guard):
    own = photo(folder, "a.png", "red", b"a {} \xff\xfe")
    with pytest.raises(BadContent, match=r"a\.txt is not UTF-8"):
        read_captions([own], MUG)
    (folder / "a.txt").unlink()
    os.mkfifo(folder / "a.txt")
    with pytest.raises(BadContent, match=r"a\.txt.*named pipe"):
        read_captions([own], MUG)
