"""Words that travel in a PNG picture: in a text chunk, or in the low bits beside the picture."""

from __future__ import annotations

import base64
import binascii
import io
import warnings
import zlib
from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ticli.errors import BadContent
from ticli.library.formats.containers import Content, Opened, Tensor
from ticli.library.formats.tensor_file import parse_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEYWORD, OWN_KEYWORD = b"sd-ti-embedding", b"ti-concept"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
TENSOR = "TORCHTENSOR"
MOST_CHUNKS = 20_000
MOST_TEXTS = 1_000
# 64 vectors of 768 numbers take 1 MiB; AUTOMATIC1111's prompts hold 75 a word.
LARGEST_JSON = 4 << 20
LARGEST_TEXT = 6 << 20
MOST_PIXELS = 8_000_000
CHUNK_FRAME = 12
NOT_INTACT = "resizing or saving a picture again destroys what is hidden in it; fetch the original"


def picture_kind(head: bytes) -> str:
    """The kind of picture that can carry a concept, by its first bytes; "" if it is none."""
    if head.startswith(SIGNATURE):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    return "AVIF" if head[4:12] == b"ftypavif" else ""


def read_picture(file: Opened, kind: str) -> Content:
    """Read the concept that a picture carries, the text chunk of a PNG first.

    Other kinds must be lossless. Raises BadContent.
    """
    if not file.is_small:
        raise BadContent(
            f"{file.origin} is a {kind} picture that is too large to carry a concept", ""
        )
    data = file.read(0, file.size)
    if kind == "PNG" and (carried := _in_chunks(data, file)) is not None:
        return carried
    hidden = hidden_bytes(data, file.origin, kind)
    try:
        text = inflate(hidden, LARGEST_JSON)
    except ValueError as error:
        raise BadContent(
            f"{file.origin} is a {kind} picture with no intact embedding in it: {error}", NOT_INTACT
        ) from error
    return Content(file.origin, "png pixels", carried_root(text, file.origin))


def _in_chunks(data: bytes, file: Opened) -> Content | None:
    """The concept in the text chunks of a PNG; None if there is none. Raises BadContent."""
    roots: dict[bytes, Any] = {}
    for number, (kind, body) in enumerate(_chunks(data, file.origin)):
        if number == 0:
            _check_size(kind, bytes(body[:16]), file.origin)
        keyword, _, rest = bytes(body).partition(b"\0") if kind in TEXTS else (b"", b"", b"")
        if keyword in (KEYWORD, OWN_KEYWORD):
            if keyword in roots:
                raise _damaged(file.origin, "it carries two embeddings")
            text = _decoded(_chunk_text(kind, rest, file.origin), file)
            roots[keyword] = carried_root(text, file.origin)
    if KEYWORD not in roots:
        return None
    # Programs take every value beside SDXL's tensors for a tensor, so the rest lies apart.
    root = {**roots.get(OWN_KEYWORD, {}), **roots[KEYWORD]}
    return Content(file.origin, "png chunk", root)


def inflate(packed: bytes, largest: int) -> bytes:
    """Unpack zlib data, at most `largest` bytes of it; what follows the data is ignored.

    Raises ValueError.
    """
    machine = zlib.decompressobj()
    try:
        plain = machine.decompress(packed, largest + 1)
    except zlib.error as error:
        raise ValueError("it cannot be unpacked") from error
    if len(plain) > largest:
        raise ValueError(f"it unpacks to more than {largest >> 20} MiB")
    if not machine.eof:
        raise ValueError("it is cut off")
    return plain


def carried_root(text: bytes, origin: str) -> Any:
    """The mapping that AUTOMATIC1111 wrote as JSON, its number lists as tensors.

    Raises BadContent.
    """
    try:
        root = parse_json(text, LARGEST_JSON)
        if not isinstance(root, dict):
            raise ValueError("it is no mapping")
        return _with_tensors(root, 0)
    except ValueError as error:
        raise _damaged(origin, f"its embedding cannot be read: {error}") from error


def _chunks(data: bytes, origin: str) -> Iterator[tuple[bytes, memoryview]]:
    """The chunks of a PNG, each with its checksum compared, up to the last."""
    view = memoryview(data)
    position, texts = len(SIGNATURE), 0
    for _ in range(MOST_CHUNKS):
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + length + CHUNK_FRAME
        if end > len(data) or position + CHUNK_FRAME > len(data):
            raise _damaged(origin, "it is cut off")
        kind = data[position + 4 : position + 8]
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise _damaged(origin, f"the checksum of its {kind.decode('latin-1')!r} part is wrong")
        texts += kind in TEXTS
        if texts > MOST_TEXTS:
            break
        yield kind, view[position + 8 : end - 4]
        if kind == b"IEND":
            if end != len(data):
                raise BadContent(
                    f"{origin} is a PNG picture with {len(data) - end:,} bytes after its end",
                    "such files are made to deceive",
                )
            return
        position = end
    raise BadContent(f"{origin} is a PNG picture of more parts than any honest one", "")


def _check_size(kind: bytes, body: bytes, origin: str) -> None:
    width, height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
    if kind != b"IHDR" or len(body) != 13 or not width or not height:
        raise _damaged(origin, "it does not begin as a PNG picture does")
    if width * height > MOST_PIXELS:
        raise BadContent(
            f"{origin} is a PNG picture of {width:,}x{height:,} pixels, too many for a concept",
            "give the embedding file of a concept",
        )


def _chunk_text(kind: bytes, body: bytes, origin: str) -> bytes:
    """The text of a chunk, unpacked within bounds."""
    try:
        if kind == b"tEXt":
            return body
        if kind == b"zTXt":
            return inflate(body[1:], LARGEST_TEXT)
        packed, rest = body[0:1], body[2:].split(b"\0", 2)[2]
        return inflate(rest, LARGEST_TEXT) if packed == b"\1" else rest
    except (ValueError, IndexError) as error:
        raise _damaged(origin, f"its embedding cannot be read: {error}") from error


def _decoded(text: bytes, file: Opened) -> bytes:
    if len(text) > LARGEST_TEXT:
        raise _damaged(file.origin, "its embedding is larger than any concept")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise _damaged(file.origin, f"its embedding cannot be read: {error}") from error


def _with_tensors(value: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if depth > 3:
        raise ValueError("it is nested too deeply")
    found: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item.keys() == {TENSOR}:
            found[key] = _tensor(item[TENSOR])
        elif isinstance(item, dict):
            found[key] = _with_tensors(item, depth + 1)
        else:
            found[key] = item
    return found


def _tensor(rows: Any) -> Tensor:
    """Nested lists of equal length as a tensor."""
    if not isinstance(rows, list) or not rows:
        raise ValueError("a tensor is no list of numbers")
    table = rows if isinstance(rows[0], list) else [rows]
    if not all(isinstance(row, list) and len(row) == len(table[0]) for row in table):
        raise ValueError("the rows of a tensor are not equally long")
    numbers = array("d")
    for row in table:
        if not all(type(number) in (int, float) for number in row):
            raise ValueError("a tensor holds what is no number")
        try:
            numbers.extend(row)
        except OverflowError as error:
            raise ValueError("a tensor holds a number without end") from error
    shape = (len(table), len(table[0]))
    return Tensor(shape if table is rows else shape[1:], "F64", numbers.tobytes)


def _damaged(origin: str, reason: str) -> BadContent:
    return BadContent(f"{origin} is damaged: {reason}", NOT_INTACT)


# The linear congruential generator of Numerical Recipes, from 0 on.
MULTIPLIER, INCREMENT, BITS = 1_664_525, 1_013_904_223, 32
LOW = 0x0F


def hidden_bytes(data: bytes, origin: str, kind: str = "PNG") -> bytes:
    """The packed bytes hidden in a picture. Raises BadContent if there are none.

    Two blocks stand left and right of the picture, each parted from it by a column of zeros: the
    left one holds the low half of every byte, the right one the high half.
    """
    import numpy as np

    low = _without_black_border(_pixels(data, origin, kind)) & LOW
    separators = np.flatnonzero(low.max(axis=(0, 2), initial=0) == 0)
    nothing = BadContent(
        f"{origin} is a {kind} picture with no embedding in it",
        "give the original of a picture that carries a concept: saving it again loses the concept",
    )
    if len(separators) < 2:
        raise nothing
    left, right = low[:, : separators[0]], low[:, separators[-1] + 1 :]
    if left.shape != right.shape or not left.size:
        raise nothing
    hidden = noise(left.size).reshape(left.shape)
    return bytes((((right ^ hidden) << 4) | (left ^ hidden)).tobytes())


def _pixels(data: bytes, origin: str, kind: str) -> Pixels:
    """The picture as (height, width, 3)."""
    import numpy as np
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Oddities of a stranger's picture are no news to the user.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[kind.upper()]) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise ValueError("too many pixels")
                return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise BadContent(
            f"{origin} is a {kind} picture that cannot be opened", "fetch or copy the file again"
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


def noise(count: int) -> Pixels:
    """The half-bytes that hide the pattern of numbers, from the generator's first values.

    n steps at once are one step with another multiplier and increment, so the sequence is doubled
    until it is long enough.
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
