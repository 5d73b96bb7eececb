"""A second crop of each photo, which a word is judged by and never trained on."""

from __future__ import annotations

from PIL import Image

from ticli.photos.cropping import training_mask, training_picture
from ticli.photos.opening import Photo

# Of the training square's side: small enough to differ at every pixel, large enough to hold most
# of a subject in the middle.
SHARE = 0.85


def other_picture(photo: Photo, size: int, corner: int) -> Image.Image:
    """Return a square cut from one corner (0 to 3) of the training square, size × size pixels."""
    return _corner(training_picture(photo, round(size / SHARE)), size, corner)


def other_mask(photo: Photo, size: int, corner: int) -> Image.Image:
    """Return the same square of the photo's mask, size × size levels of grey; white without one."""
    return _corner(training_mask(photo, round(size / SHARE)), size, corner)


def _corner(whole: Image.Image, size: int, corner: int) -> Image.Image:
    slack = whole.width - size
    left, top = slack * (corner % 2), slack * (corner // 2 % 2)
    return whole.crop((left, top, left + size, top + size))
