"""Open the photos that were found, and leave out bad ones of folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ticli.errors import BadContent
from ticli.photos.finding import Found
from ticli.photos.opening import WORKING_SIDE, Photo, open_photo

# Photos are alike if so many bits of 64, and mean levels of 255, differ at most: saved again or
# scaled is alike, the same thing from another side is not.
_BITS = 4
_LEVELS = 4.0


def alike_pairs(photos: Sequence[Photo]) -> list[tuple[Photo, Photo]]:
    """Each photo that looks like an earlier one, after that one.

    They are compared by a 64-bit difference hash and by a tiny copy.
    """
    seen: list[tuple[int, NDArray[np.int16], Photo]] = []
    pairs = []
    for photo in photos:
        grey = photo.image.convert("L").resize((9, 8), Image.Resampling.BOX)
        levels = np.asarray(grey, dtype=np.int16)
        rises = np.packbits((levels[:, 1:] > levels[:, :-1]).flatten())
        bits = int.from_bytes(rises.tobytes(), "big")
        tiny = np.asarray(photo.image.resize((16, 16), Image.Resampling.BOX), dtype=np.int16)
        for known, copy, other in seen:
            if (bits ^ known).bit_count() <= _BITS and np.abs(tiny - copy).mean() < _LEVELS:
                pairs.append((other, photo))
                break
        else:
            seen.append((bits, tiny, photo))
    return pairs


# A square of one side leaves out more than two thirds beyond this.
_LONGEST_ASPECT = 3.0


class Rejected(NamedTuple):
    """A file that was left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class PhotoSet:
    """The usable photos in order, all different; what was left out; what a user should know."""

    photos: tuple[Photo, ...]
    rejected: tuple[Rejected, ...]
    warnings: tuple[str, ...]


def load_photos(found: Found, size: int = WORKING_SIDE) -> PhotoSet:
    """Open all photos for training at `size` pixels a side; larger ones are reduced to it.

    Raises BadContent if a photo named by itself cannot be used, or none can.
    """
    photos: dict[str, Photo] = {}
    failures: list[BadContent] = []
    warnings = list(found.notes)
    for path in found.files:
        try:
            photo = open_photo(path, size)
        except BadContent as error:
            if path in found.named:
                raise
            failures.append(error)
            continue
        twin = photos.setdefault(photo.sha256, photo)
        if twin is not photo:
            warnings.append(f"{path} is the same picture as {twin.path}; it is used once")
    if not photos:
        raise _none_usable(failures)
    usable = tuple(photos.values())
    rejected = tuple(
        Rejected(Path(error.details["path"]), error.details["reason"]) for error in failures
    )
    warnings += [f"to use what was left out: {text}" for text in _advice(failures)]
    return PhotoSet(usable, rejected, (*warnings, *_warnings(usable, size)))


def _advice(failures: Sequence[BadContent]) -> list[str]:
    """What to do about photos that cannot be used, each thing once."""
    return list(dict.fromkeys(error.hint for error in failures if error.hint))


def _warnings(photos: Sequence[Photo], size: int) -> list[str]:
    said = [f"{photo.path}: {note}" for photo in photos for note in photo.notes]
    for photo in photos:
        shape = f"{photo.path} is {photo.width}×{photo.height}"
        short, long = sorted((photo.width, photo.height))
        if short < size:
            said.append(f"{shape}, smaller than the {size} pixels of training; it is enlarged")
        if long > _LONGEST_ASPECT * short:
            said.append(f"{shape}; only a {short}×{short} square of it is used")
    said += [f"{photo.path} looks like {twin.path}" for twin, photo in alike_pairs(photos)]
    if len(photos) == 1:
        said.append(
            "one photo: the concept will learn its background too; three to five photos with"
            " different backgrounds work better"
        )
    return said


def _none_usable(failures: Sequence[BadContent]) -> BadContent:
    if len(failures) == 1:
        return failures[0]
    first = "; ".join(error.message for error in failures[:3])
    more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
    return BadContent(
        f"none of {len(failures)} photos can be used",
        "; ".join((first + more, *_advice(failures))),
        rejected=[error.details for error in failures],
    )
