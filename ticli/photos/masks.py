"""Masks of the subject: PHOTO.mask.png beside a photo, else what is not transparent in it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from ticli.errors import BadContent
from ticli.photos.cropping import training_mask
from ticli.photos.finding import mask_path
from ticli.photos.opening import Photo, open_photo

# Of a side: what rounding may make of the same shape in two sizes.
_SAME_SHAPE = 0.01


@dataclass(frozen=True)
class Masked:
    """Photos with their masks in place, in their order, and the files that have none."""

    photos: tuple[Photo, ...]
    missing: tuple[str, ...]


def find_masks(photos: Sequence[Photo], size: int) -> Masked:
    """Give each photo its mask, white or opaque where the subject is, for pictures of `size`.

    Raises BadContent, naming the file, where a mask cannot be read, has another shape than its
    photo, or leaves nothing of the square that is trained on.
    """
    masked = []
    for photo in photos:
        found = _with_mask(photo, size)
        if found.mask is not None and training_mask(found, size).getbbox() is None:
            raise BadContent(
                f"the mask of {photo.path} leaves nothing to learn: it is all black",
                "make the subject white, or leave out --masks",
            )
        masked.append(found)
    missing = tuple(photo.file for photo in masked if photo.mask is None)
    return Masked(tuple(masked), missing)


def describe_mask(photo: Photo, size: int) -> str:
    """Say which mask a photo has, such as `mask mug-2.mask.png, subject 31 %`; "" for none."""
    if photo.mask is None:
        return ""
    return f"mask {photo.mask_file or 'from transparency'}, subject {subject_share(photo, size)} %"


def subject_share(photo: Photo, size: int) -> int:
    """Percent of the training square that a photo's mask leaves; 100 where it has none."""
    levels = training_mask(photo, size).histogram()
    whole = 255 * sum(levels)
    return round(100 * sum(level * count for level, count in enumerate(levels)) / whole)


def mask_digest(photo: Photo) -> str:
    """The sha256 of a mask's levels, as hex; "" where a photo has none."""
    return hashlib.sha256(photo.mask.tobytes()).hexdigest() if photo.mask else ""


def _with_mask(photo: Photo, size: int) -> Photo:
    path = mask_path(photo.path)
    if not path.exists():
        return replace(photo, mask=photo.alpha, mask_file="")
    drawn = open_photo(path, size)
    wide, high = drawn.width * photo.height, photo.width * drawn.height
    if abs(wide - high) > _SAME_SHAPE * max(wide, high):
        raise BadContent(
            f"mask {path} is {drawn.width}×{drawn.height}, and its photo stands upright at "
            f"{photo.width}×{photo.height}",
            "draw it over the photo as it is shown, in the same shape",
        )
    # A transparent ground is no subject, though it is shown as white.
    levels = drawn.alpha if drawn.alpha is not None else drawn.image.convert("L")
    fitted = levels.resize(photo.image.size, Image.Resampling.BOX, reducing_gap=3.0)
    return replace(photo, mask=fitted, mask_file=drawn.file)
