"""AUTOMATIC1111's picture embeddings: a PNG that carries a concept in a chunk and in pixels.

The layout is AUTOMATIC1111's (modules/textual_inversion/image_embedding.py); the code is not.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ticli.errors import Conflict
from ticli.library.formats.metadata import Package
from ticli.library.formats.png import KEYWORD, LARGEST_JSON, LOW, OWN_KEYWORD, noise
from ticli.library.formats.torch_write import a1111_document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    Bytes = NDArray[np.uint8]

# Pixels a side.
SIDE = 512
MARGIN = LEAST = 32
PAPER, INK, PALE = (244, 241, 234), (40, 44, 52), (120, 124, 132)


def drawn_card(package: Package) -> Image:
    """Draw the token, the model it was learned on, and how many vectors and steps it has."""
    from PIL import Image, ImageDraw

    concept = package.concept
    card = Image.new("RGB", (SIDE, SIDE), PAPER)
    draw = ImageDraw.Draw(card)
    draw.rectangle((MARGIN // 2, MARGIN // 2, SIDE - MARGIN // 2, SIDE - MARGIN // 2), outline=PALE)
    _centred(draw, package.token, SIDE // 2, 72)
    _centred(draw, concept.base.id or "base model unknown", SIDE - 3 * MARGIN, 24)
    vectors = f"{concept.vectors} vector{'s' if concept.vectors > 1 else ''}"
    steps = f", {concept.steps} steps" if concept.steps else ""
    _centred(draw, vectors + steps, SIDE - 2 * MARGIN, 24)
    return card


def _centred(draw: ImageDraw, text: str, height: int, size: int) -> None:
    """Write a line as large as fits, at most `size` pixels high."""
    from PIL import ImageFont

    # The built-in font knows western letters; a base model's name may hold any.
    plain = text.encode("ascii", "replace").decode()
    room = SIDE - 2 * MARGIN
    while True:
        font = ImageFont.load_default(size)
        width = draw.textlength(plain, font=font)
        if width <= room or size <= 8:
            break
        size -= 2
    draw.text(((SIDE - width) / 2, height), plain, fill=INK, font=font, anchor="lm")


CHUNK, OWN_CHUNK = KEYWORD.decode(), OWN_KEYWORD.decode()
TENSOR = "TORCHTENSOR"


def picture_file(packages: Sequence[Package]) -> bytes:
    """A PNG of the user's picture, or of a plain card, that holds the concept.

    Raises Conflict if it has more vectors than readers take from a picture.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    package = packages[0]
    given = package.extras.picture
    picture = drawn_card(package) if given is None else given.convert("RGB")
    picture.thumbnail((2 * SIDE, 2 * SIDE))
    if min(picture.size) < LEAST:
        # The hidden blocks are as high as the picture, and need some height.
        small, picture = picture, Image.new("RGB", (SIDE, SIDE), PAPER)
        picture.paste(small, ((SIDE - small.width) // 2, (SIDE - small.height) // 2))
    # The decimals of a float32 as float64 bring back the same float32.
    fields = a1111_document(package, lambda rows: {TENSOR: rows.tolist()})
    # Programs take every value beside SDXL's two tensors for a tensor.
    tensors = {k: v for k, v in fields.items() if isinstance(v, dict) and TENSOR in v}
    document = json.dumps(tensors or fields).encode()
    if len(document) > LARGEST_JSON:
        raise Conflict(
            f"{package.concept.name!r} has {package.concept.vectors} vectors, more than a picture "
            f"carries: {len(document):,} bytes of at most {LARGEST_JSON:,}",
            "choose another --format",
        )
    chunk = PngInfo()
    chunk.add_text(CHUNK, base64.b64encode(document).decode())
    if tensors:
        others = {k: v for k, v in fields.items() if k not in tensors}
        chunk.add_text(OWN_CHUNK, base64.b64encode(json.dumps(others).encode()).decode())
    file = io.BytesIO()
    hide_in_pixels(picture, document).save(file, "PNG", pnginfo=chunk)
    return file.getvalue()


def hide_in_pixels(picture: Image, document: bytes) -> Image:
    """Put a document beside a picture: its low half-bytes left, its high ones right.

    The half-bytes of the packed document are repeated up to whole columns of three channels and
    fill the lower four bits of a block as high as the picture. A black column parts each block from
    the picture.
    """
    import numpy as np
    from PIL import Image as images

    height = picture.height
    packed = np.frombuffer(zlib.compress(document, 9), np.uint8)
    length = packed.size + (height - packed.size % height)
    length += 3 * height - length % (3 * height)
    data = np.resize(packed, length)
    left = _block((data & LOW).astype(np.uint8), height)
    right = _block((data >> 4).astype(np.uint8), height)
    black = np.zeros((height, 1, 3), np.uint8)
    pixels = np.asarray(picture.convert("RGB"))
    shade = _shades(left.shape[1], height)
    # The shade fills the upper bits with what looks like a pattern, and is never black.
    return images.fromarray(np.hstack([left | shade, black, pixels, black, right | shade[:, ::-1]]))


def _block(half_bytes: Bytes, height: int) -> Bytes:
    """Half-bytes as pixels of shape (height, width, 3), under the noise that begins each block."""
    return (half_bytes ^ noise(half_bytes.size)).reshape(height, -1, 3)


def _shades(width: int, height: int) -> Bytes:
    """Waves for the upper four bits, each between 1 and 15, of shape (height, width, 1)."""
    import numpy as np

    rows, columns = np.mgrid[0:height, 0:width]
    wave = np.sin(rows / 23) + np.sin((rows + 4 * columns) / 41)
    steps = np.clip(8 + 3.5 * wave, 1, 15).astype(np.uint8)
    shaded: Bytes = (steps << 4)[:, :, None]
    return shaded
