"""Photos that show the same: pairs whose tiny copies barely differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ticli.photos.opening import Photo

# Bits of 64 that may differ, and mean levels of 255: saved again or scaled is alike, the same
# thing from another side is not.
_BITS = 4
_LEVELS = 4.0


@dataclass(frozen=True, eq=False)
class _Print:
    """A 64-bit difference hash and a tiny RGB copy, int16 of shape (16, 16, 3)."""

    bits: int
    tiny: NDArray[np.int16]


def alike_pairs(photos: Sequence[Photo]) -> list[tuple[Photo, Photo]]:
    """Return each photo that looks like an earlier one, with that one."""
    seen: list[tuple[_Print, Photo]] = []
    pairs = []
    for photo in photos:
        own = _fingerprint(photo.image)
        twin = next((other for known, other in seen if _alike(own, known)), None)
        if twin is None:
            seen.append((own, photo))
        else:
            pairs.append((twin, photo))
    return pairs


def _fingerprint(image: Image.Image) -> _Print:
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    rises = (grey[:, 1:] > grey[:, :-1]).flatten()
    tiny = np.asarray(image.resize((16, 16), Image.Resampling.BOX), dtype=np.int16)
    return _Print(int.from_bytes(np.packbits(rises).tobytes(), "big"), tiny)


def _alike(one: _Print, other: _Print) -> bool:
    if (one.bits ^ other.bits).bit_count() > _BITS:
        return False
    return bool(np.abs(one.tiny - other.tiny).mean() < _LEVELS)
