"""A square around the subject, never squashed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ticli.photos import crop_box, describe_crop, open_photo, training_picture


def ground(kind: str, width: int = 400, height: int = 200) -> Image.Image:
    if kind == "white":
        return Image.new("RGB", (width, height), "white")
    if kind == "noise":
        values = np.random.default_rng(0).integers(90, 160, (height, width, 3))
        return Image.fromarray(values.astype(np.uint8))
    if kind == "halves":
        image = Image.new("RGB", (width, height), "skyblue")
        image.paste("green", (0, height // 2, width, height))
        return image
    light = np.linspace(60, 200, width)[None, :, None] * np.array([1.0, 0.9, 0.6])
    return Image.fromarray(np.broadcast_to(light, (height, width, 3)).astype(np.uint8))


def opened(folder, image: Image.Image, size: int = 128, name: str = "a.png"):
    image.save(folder / name)
    return open_photo(folder / name, size)


@pytest.mark.parametrize("kind", ["white", "noise", "halves", "gradient"])
@pytest.mark.parametrize(("at", "left"), [(50, 0), (140, 40), (200, 100), (270, 170), (350, 200)])
def test_the_square_is_centred_on_the_subject(folder, kind, at, left):
    image = ground(kind)
    ImageDraw.Draw(image).ellipse((at - 40, 60, at + 40, 140), fill="red")
    box = crop_box(opened(folder, image))
    assert (box[1], box[2] - box[0], box[3]) == (0, 200, 200)
    assert abs(box[0] - left) <= 15


def test_upright_photos_are_cropped_along_their_height(folder):
    image = ground("noise", 150, 450)
    ImageDraw.Draw(image).ellipse((35, 60, 115, 140), fill="red")
    left, top, right, bottom = crop_box(opened(folder, image))
    assert (left, right, bottom - top) == (0, 150, 150)
    assert abs(top - 25) <= 12


@pytest.mark.parametrize("kind", ["white", "noise"])
def test_where_nothing_stands_out_the_middle_is_taken(folder, kind):
    assert crop_box(opened(folder, ground(kind))) == (100, 0, 300, 200)


def test_what_is_not_transparent_is_the_subject_whatever_its_colour(folder):
    image = Image.new("RGBA", (400, 200), (255, 0, 0, 0))
    image.paste((255, 255, 255, 255), (250, 50, 350, 150))
    assert crop_box(opened(folder, image)) == (200, 0, 400, 200)
    image = Image.new("RGBA", (400, 200), (255, 0, 0, 0))
    image.paste((255, 255, 255, 255), (100, 50, 200, 150))
    assert crop_box(opened(folder, image)) == (50, 0, 250, 200)


def test_a_square_photo_is_used_whole(folder):
    photo = opened(folder, ground("halves", 300, 300))
    assert crop_box(photo) == (0, 0, 300, 300)
    assert describe_crop(photo) == "a.png 300×300, whole"


def test_the_training_picture_is_the_square_of_the_box(folder):
    image = ground("gradient")
    ImageDraw.Draw(image).ellipse((100, 60, 180, 140), fill="red")
    photo = opened(folder, image, size=1024)
    picture = training_picture(photo, 96)
    expected = image.crop(crop_box(photo)).resize((96, 96), Image.Resampling.LANCZOS)
    assert (picture.size, picture.mode) == ((96, 96), "RGB")
    assert np.abs(np.asarray(picture, dtype=int) - np.asarray(expected, dtype=int)).mean() < 1


def test_a_reduced_photo_gives_the_same_picture_as_a_whole_one(folder, mug):
    for name in ("mug-1.jpg", "mug-2.jpg", "mug-4.jpg"):
        whole = training_picture(open_photo(mug / name, 4096), 128)
        reduced = training_picture(open_photo(mug / name, 128), 128)
        apart = np.abs(np.asarray(whole, dtype=int) - np.asarray(reduced, dtype=int))
        assert apart.mean() < 4


def test_a_circle_stays_a_circle_and_small_photos_are_enlarged(folder):
    image = Image.new("RGB", (90, 30), "white")
    ImageDraw.Draw(image).ellipse((35, 5, 55, 25), fill="black")
    picture = training_picture(opened(folder, image), 120)
    dark = np.asarray(picture.convert("L")) < 128
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 2
    assert 76 <= np.ptp(rows) <= 86


def test_the_example_mugs_stay_in_the_middle_and_the_turned_one_says_so(mug):
    photo = open_photo(mug / "mug-2.jpg", 128)
    left, top, right, bottom = crop_box(photo)
    assert describe_crop(photo) == f"mug-2.jpg 480×640 turned, crop 480×480 at 0,{top}"
    # The mug reaches from row 185 to row 450 of the upright photo.
    assert abs((top + bottom) / 2 - 318) <= 30
    assert (left, right) == (0, 480)


def test_a_photo_of_one_row_is_cropped_all_the_same(folder):
    photo = opened(folder, Image.new("RGB", (500, 1), "red"))
    assert training_picture(photo, 16).size == (16, 16)
