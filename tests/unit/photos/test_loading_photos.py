"""Which photos a run gets, which are left out, and what is said about them."""

from __future__ import annotations

import pytest
from PIL import Image

from ticli.errors import BadContent
from ticli.photos import find_photos, load_photos


def noise(seed: int, size: tuple[int, int] = (200, 200)) -> Image.Image:
    """A picture that looks like no other: coarse blobs."""
    import numpy as np

    blobs = np.random.default_rng(seed).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(blobs).resize(size, Image.Resampling.BICUBIC)


def load(*arguments, size: int = 64):
    return load_photos(find_photos([str(argument) for argument in arguments]), size)


def test_the_example_photos_load_without_a_word(mug):
    loaded = load(mug, size=128)
    assert [photo.file for photo in loaded.photos] == [f"mug-{n}.jpg" for n in range(1, 6)]
    assert loaded.rejected == ()
    assert loaded.warnings == ()
    assert all(min(photo.image.size) == 128 for photo in loaded.photos)


def test_a_bad_file_in_a_folder_is_named_and_left_out(folder):
    for seed in range(3):
        noise(seed).save(folder / f"{seed}.png")
    (folder / "broken.jpg").write_text("<html>")
    (folder / "gone.jpg").symlink_to(folder / "absent")
    loaded = load(folder)
    assert len(loaded.photos) == 3
    assert [(path.name, reason) for path, reason in loaded.rejected] == [
        ("broken.jpg", "it is a web page"),
        ("gone.jpg", "it is a link to a file that is gone"),
    ]


def test_a_bad_file_that_was_named_stops_the_run(folder):
    noise(1).save(folder / "a.png")
    (folder / "broken.jpg").write_text("<html>")
    with pytest.raises(BadContent, match=r"broken\.jpg.*web page") as caught:
        load(folder, folder / "broken.jpg")
    assert caught.value.exit_code == 1
    listed = find_photos(["-"], b"%s\n" % bytes(folder / "broken.jpg"))
    with pytest.raises(BadContent, match=r"broken\.jpg"):
        load_photos(listed)


def test_none_usable_says_why_for_each(folder):
    (folder / "a.jpg").write_bytes(b"")
    with pytest.raises(BadContent, match=r"a\.jpg.*empty"):
        load(folder)
    (folder / "b.jpg").write_text("<html>")
    with pytest.raises(BadContent, match="none of 2") as caught:
        load(folder)
    assert "empty" in caught.value.hint
    assert "web page" in caught.value.hint
    assert [entry["reason"] for entry in caught.value.details["rejected"]] == [
        "it is an empty file",
        "it is a web page",
    ]


def test_the_same_content_is_used_once(folder):
    noise(1).save(folder / "a.png")
    noise(2).save(folder / "b.png")
    (folder / "copy.png").write_bytes((folder / "a.png").read_bytes())
    loaded = load(folder)
    assert [photo.file for photo in loaded.photos] == ["a.png", "b.png"]
    assert loaded.warnings == (
        f"{folder / 'copy.png'} is the same picture as {folder / 'a.png'}; it is used once",
    )


def test_the_same_picture_saved_again_is_warned_of_and_kept(folder):
    noise(1).save(folder / "a.png")
    noise(1).resize((160, 160)).save(folder / "b.jpg", quality=70)
    noise(2).save(folder / "c.png")
    loaded = load(folder)
    assert len(loaded.photos) == 3
    assert loaded.warnings == (f"{folder / 'b.jpg'} looks like {folder / 'a.png'}",)


def test_photos_of_one_thing_are_not_taken_for_copies(mug, folder):
    for photo in mug.iterdir():
        with Image.open(photo) as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / f"flip-{photo.name}")
    assert not [line for line in load(mug, folder, size=128).warnings if "looks like" in line]


def test_one_photo_warns_and_is_used(folder):
    noise(1).save(folder / "a.png")
    loaded = load(folder)
    assert len(loaded.photos) == 1
    assert "one photo" in loaded.warnings[0]


def test_small_and_long_photos_are_warned_of(folder):
    noise(1, (40, 60)).save(folder / "small.png")
    noise(2, (400, 100)).save(folder / "long.png")
    noise(3, (300, 100)).save(folder / "fine.png")
    warnings = load(folder).warnings
    assert len(warnings) == 2
    assert "long.png is 400×100; only a 100×100 square" in warnings[0]
    assert "small.png is 40×60, smaller than the 64 pixels" in warnings[1]


def test_the_notes_of_a_photo_and_of_the_search_reach_the_user(folder):
    frames = [noise(seed) for seed in range(2)]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    noise(3).save(folder / "b.png")
    warnings = load(folder, folder / "b.png").warnings
    assert f"{folder / 'b.png'} is named twice; it is used once" in warnings
    assert f"{folder / 'a.gif'}: it holds several pictures; the first is used" in warnings
