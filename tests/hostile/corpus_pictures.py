"""Items 38 to 43: pictures that carry a word, or only say so."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

from crafted import (
    PNG,
    Case,
    Touch,
    a1111_json,
    card,
    chunk,
    file_case,
    png,
    text_chunk,
    vectors,
)

ROWS = [[0.01] * 768]


def photo(mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.effect_noise(size, 80).convert(mode).save(stream, "PNG")
    return stream.getvalue()


def carried(document: str | bytes, kind: bytes = b"tEXt", encoded: bool = True) -> bytes:
    return png(text_chunk(document, kind, encoded))


def pickled(folder: Path) -> bytes:
    return carried(pickle.dumps({"a": Touch(folder)}, 2))


def bomb() -> bytes:
    """Pixels that unpack to 200 MB of spaces."""
    return card(b"", 64, zlib.compress(b" " * (200 << 20), 9))


def sized(width: int, height: int) -> bytes:
    """A picture that says it is larger than it is."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(100))
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def large_text() -> bytes:
    """A text of 64 MB in a small packed chunk."""
    body = b"sd-ti-embedding\0\0" + zlib.compress(b"A" * (64 << 20), 9)
    return png(chunk(b"zTXt", body))


def saved_again(change: str) -> bytes:
    """A card that another program has opened and saved."""
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(io.BytesIO(card(a1111_json(ROWS).encode()))) as picture:
        if change == "jpeg":
            lossy = io.BytesIO()
            picture.save(lossy, "JPEG", quality=90)
            Image.open(lossy).save(stream, "PNG")
        elif change == "half":
            picture.resize((picture.width // 2, picture.height // 2)).save(stream, "PNG")
        elif change == "palette":
            picture.convert("P").save(stream, "PNG")
        elif change == "alpha":
            picture.convert("RGBA").save(stream, "PNG")
        elif change == "animated":
            other = Image.new("RGB", picture.size, "blue")
            picture.save(stream, "PNG", save_all=True, append_images=[other])
        elif change == "16 bit":
            picture.convert("I;16").save(stream, "PNG")
    return stream.getvalue()


def many_vectors(kind: bytes) -> Any:
    def build(folder: Path) -> bytes:
        return carried(a1111_json(vectors(768, 64).tolist()), kind)

    return build


def nested(depth: int) -> str:
    return a1111_json("here").replace('"here"', "[" * depth + "]" * depth)


PICTURE = "given.png"
NOT_READ = "damaged"
CASES: list[Case] = [
    file_case(38, "photo", "R", lambda f: photo(), "no embedding", PICTURE),
    file_case(38, "grey photo", "R", lambda f: photo("L"), "no embedding", PICTURE),
    file_case(38, "black picture", "R", lambda f: png(pixels=bytes(20)), "no embedding", PICTURE),
    file_case(39, "pickle", "R", pickled, NOT_READ, PICTURE),
    file_case(
        39, "no base64", "R", carried("\xe9 not base64 %%%", encoded=False), NOT_READ, PICTURE
    ),
    file_case(39, "NaN", "R", carried(a1111_json([[float("nan")] * 768])), NOT_READ, PICTURE),
    file_case(
        39,
        "a number without end",
        "R",
        carried(a1111_json(ROWS).replace("0.01", "1e999", 1)),
        "not finite",
        PICTURE,
    ),
    file_case(39, "ragged", "R", carried(a1111_json([[0.1] * 768, [0.1]])), NOT_READ, PICTURE),
    file_case(39, "texts", "R", carried(a1111_json([["a"] * 768])), NOT_READ, PICTURE),
    file_case(39, "truths", "R", carried(a1111_json([[True] * 768])), NOT_READ, PICTURE),
    file_case(39, "nested", "R", carried(nested(100_000)), NOT_READ, PICTURE),
    file_case(
        39,
        "5000 digits",
        "R",
        carried(a1111_json(ROWS).replace("0.01", "9" * 5000, 1)),
        NOT_READ,
        PICTURE,
    ),
    file_case(
        39,
        "400 digits",
        "R",
        carried(a1111_json(ROWS).replace("0.01", "9" * 400, 1)),
        NOT_READ,
        PICTURE,
    ),
    file_case(
        39, "wrong keys", "R", carried(json.dumps({"a": {"TORCHTENSOR": 3}})), NOT_READ, PICTURE
    ),
    file_case(39, "a list", "R", carried("[]"), NOT_READ, PICTURE),
    file_case(
        39,
        "two embeddings",
        "R",
        png(text_chunk(a1111_json(ROWS)), text_chunk(a1111_json(ROWS))),
        "two",
        PICTURE,
    ),
    file_case(40, "bomb in pixels", "R", lambda f: bomb(), "no intact embedding", PICTURE),
    file_case(41, "60000x60000", "R", sized(60_000, 60_000), "too many", PICTURE),
    file_case(41, "14000x14000", "R", sized(14_000, 14_000), "too many", PICTURE),
    file_case(41, "0 wide", "R", sized(0, 100), NOT_READ, PICTURE),
    file_case(41, "bomb in zTXt", "R", lambda f: large_text(), "MiB", PICTURE),
    file_case(
        41,
        "10 000 texts",
        "R",
        lambda f: png(*[chunk(b"tEXt", b"a\0b")] * 10_000),
        "parts",
        PICTURE,
    ),
    file_case(41, "wrong pixels", "R", sized(40, 40), "cannot be opened", PICTURE),
    *(
        file_case(
            42, change, "R", lambda f, c=change: saved_again(c), "no (intact )?embedding", PICTURE
        )
        for change in ("jpeg", "half", "palette", "16 bit")
    ),
    file_case(42, "alpha", "A", lambda f: saved_again("alpha"), "", PICTURE),
    file_case(42, "animated", "A", lambda f: saved_again("animated"), "", PICTURE),
    file_case(42, "card", "A", lambda f: card(a1111_json(ROWS).encode()), "", PICTURE),
    file_case(43, "64 vectors in tEXt", "A", many_vectors(b"tEXt"), "", PICTURE),
    file_case(43, "64 vectors in zTXt", "A", many_vectors(b"zTXt"), "", PICTURE),
    file_case(43, "64 vectors in iTXt", "A", many_vectors(b"iTXt"), "", PICTURE),
]
