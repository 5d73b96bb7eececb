"""Masks beside photos: found, checked, cropped alike, never taken for photos."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ticli.errors import BadContent
from ticli.photos import (
    crop_box,
    describe_mask,
    find_masks,
    find_photos,
    mask_digest,
    open_photo,
    subject_share,
    training_mask,
)


def photo_with_mask(folder, box=(140, 20, 180, 60), size=(200, 80), shape=None):
    """A grey photo whose mask alone says where its subject is."""
    Image.new("RGB", size, "grey").save(folder / "a.jpg")
    mask = Image.new("L", shape or size, 0)
    mask.paste(255, box)
    mask.save(folder / "a.mask.png")
    return open_photo(folder / "a.jpg", 64)


def test_a_mask_beside_its_photo_is_no_photo(folder):
    photo_with_mask(folder)
    Image.new("RGB", (80, 80), "red").save(folder / "b.mask.png")
    found = find_photos([str(folder)])
    # Nothing is called b, so that b.mask.png is a photo like any other.
    assert [path.name for path in found.files] == ["a.jpg", "b.mask.png"]
    assert [path.name for path in found.masks] == ["a.mask.png"]
    named = find_photos([str(folder / "a.jpg"), str(folder / "a.mask.png")])
    assert [path.name for path in named.files] == ["a.jpg"]
    alone = find_photos([str(folder / "a.mask.png")])
    assert [path.name for path in alone.files] == ["a.mask.png"]


def test_the_crop_follows_the_mask(folder):
    photo = photo_with_mask(folder)
    assert crop_box(photo) == (60, 0, 140, 80)
    (masked,) = find_masks([photo], 64).photos
    assert crop_box(masked) == (120, 0, 200, 80)
    assert masked.mask_file == "a.mask.png"
    small = np.asarray(training_mask(masked, 64))
    assert small.shape == (64, 64)
    # A 40 of 80 pixels square, 20 from the crop's left: 16 to 48 of 64.
    assert small[32, 20] == 255 and small[32, 10] == 0 and small[32, 55] == 0
    assert subject_share(masked, 64) == 25
    assert describe_mask(masked, 64) == "mask a.mask.png, subject 25 %"


def test_transparency_is_a_mask_where_no_file_is(folder):
    image = Image.new("RGBA", (80, 80), (255, 0, 0, 0))
    image.paste((0, 255, 0, 255), (0, 0, 40, 80))
    image.save(folder / "a.png")
    Image.new("RGB", (80, 80), "red").save(folder / "b.png")
    photos = [open_photo(folder / name, 64) for name in ("a.png", "b.png")]
    masked = find_masks(photos, 64)
    assert masked.missing == ("b.png",)
    first, second = masked.photos
    assert describe_mask(first, 64) == "mask from transparency, subject 50 %"
    assert describe_mask(second, 64) == "" and subject_share(second, 64) == 100
    assert mask_digest(second) == "" and len(mask_digest(first)) == 64


def test_a_mask_drawn_with_transparency_counts_by_it(folder):
    photo = photo_with_mask(folder)
    mask = Image.new("RGBA", (200, 80), (0, 0, 0, 0))
    mask.paste((0, 0, 0, 255), (140, 20, 180, 60))
    mask.save(folder / "a.mask.png")
    (masked,) = find_masks([photo], 64).photos
    assert subject_share(masked, 64) == 25


def test_a_mask_of_another_size_but_the_same_shape_fits(folder):
    photo = photo_with_mask(folder, (280, 40, 360, 120), shape=(400, 160))
    (masked,) = find_masks([photo], 64).photos
    assert masked.mask.size == photo.image.size
    assert subject_share(masked, 64) == 25


@pytest.mark.parametrize(
    ("shape", "box", "words"),
    [((80, 200), (10, 10, 20, 20), "80×200"), ((200, 80), (0, 0, 0, 0), "all black")],
)
def test_a_mask_that_cannot_be_meant_is_refused(folder, shape, box, words):
    photo = photo_with_mask(folder, box, shape=shape)
    with pytest.raises(BadContent, match=words):
        find_masks([photo], 64)


def test_a_mask_that_is_no_picture_is_refused(folder):
    photo = photo_with_mask(folder)
    (folder / "a.mask.png").write_text("no picture")
    with pytest.raises(BadContent, match=r"a\.mask\.png"):
        find_masks([photo], 64)
