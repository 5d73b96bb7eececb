"""The word in the pixels of AUTOMATIC1111's picture cards: low bits of a block on either side."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from ticli.errors import BadContent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

# The linear congruential generator of Numerical Recipes, from 0 on.
MULTIPLIER, INCREMENT, BITS = 1_664_525, 1_013_904_223, 32
LOW = 0x0F


def hidden_bytes(data: bytes, origin: str) -> bytes:
    """The packed bytes hidden in a PNG picture. Raises BadContent where there are none.

    Two blocks stand left and right of the picture, each parted from it by a column of zeros: the
    left one holds the low half of every byte, the right one the high half.
    """
    import numpy as np

    low = _without_black_border(_pixels(data, origin)) & LOW
    separators = np.flatnonzero(low.max(axis=(0, 2), initial=0) == 0)
    if len(separators) < 2:
        raise nothing_hidden(origin)
    left, right = low[:, : separators[0]], low[:, separators[-1] + 1 :]
    if left.shape != right.shape or not left.size:
        raise nothing_hidden(origin)
    stream = _stream(left.size).reshape(left.shape)
    return bytes((((right ^ stream) << 4) | (left ^ stream)).tobytes())


def nothing_hidden(origin: str) -> BadContent:
    """The refusal of a picture that is only a picture."""
    return BadContent(
        f"{origin} is a PNG picture with no embedding in it",
        "give the original of a picture that carries a word: saving it again loses the word",
    )


def _pixels(data: bytes, origin: str) -> Pixels:
    """The picture as (height, width, 3)."""
    import numpy as np
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Oddities of a stranger's picture are no news to the user.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
                return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise BadContent(
            f"{origin} is a PNG picture that cannot be opened", "fetch or copy the file again"
        ) from error


def _without_black_border(pixels: Pixels) -> Pixels:
    """The picture without the black rows and columns around it."""
    import numpy as np

    bright = pixels.all(axis=2)
    rows = np.flatnonzero(np.any(bright, axis=1))
    columns = np.flatnonzero(np.any(bright, axis=0))
    if not len(rows):
        return pixels[:0]
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _stream(count: int) -> Pixels:
    """The first `count` values of the generator, modulo 255, their low half.

    n steps at once are again one step, with another multiplier and increment, so the sequence is
    doubled until it is long enough.
    """
    import numpy as np

    mask = np.uint64((1 << BITS) - 1)
    states = np.array([INCREMENT], np.uint64)
    multiplier, increment = np.uint64(MULTIPLIER), np.uint64(INCREMENT)
    while len(states) < count:
        states = np.concatenate([states, (states * multiplier + increment) & mask])
        increment = (increment * multiplier + increment) & mask
        multiplier = (multiplier * multiplier) & mask
    return ((states[:count] % np.uint64(255)) & np.uint64(LOW)).astype(np.uint8)
