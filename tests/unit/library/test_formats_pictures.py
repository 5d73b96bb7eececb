"""Words in pictures: the text chunk, the pixels, and pictures of other programs."""

from __future__ import annotations

import base64
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ticli.errors import BadContent
from ticli.library import in_memory, inflate, read_embedding, read_words

DRAW = np.random.default_rng(0)


def document(vectors: int = 1, width: int = 768, **fields: object) -> tuple[bytes, np.ndarray]:
    """AUTOMATIC1111's document of a word, and its numbers."""
    rows = DRAW.normal(0, 0.02, (vectors, width)).astype(np.float32)
    content = {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": {"TORCHTENSOR": rows.tolist()}},
        "name": "Mug",
        "step": 40,
        "sd_checkpoint": "4c86efd062",
        "sd_checkpoint_name": None,
        **fields,
    }
    return json.dumps(content).encode(), rows


def hidden(data: bytes, height: int) -> Image.Image:
    """A picture with data in its low bits: two blocks, noise, black columns. Slow and plain."""
    packed = zlib.compress(data, 9)
    packed += packed[: height - len(packed) % height]
    packed += (packed * 9)[: 3 * height - len(packed) % (3 * height)]
    state, noise = 0, bytearray()
    for _ in packed:
        state = (1664525 * state + 1013904223) % 2**32
        noise.append((state % 255) & 0x0F)
    blocks = []
    for shift in (0, 4):
        values = [
            ((byte >> shift) & 0x0F) ^ n | 0x90 for byte, n in zip(packed, noise, strict=True)
        ]
        blocks.append(np.array(values, np.uint8).reshape(height, -1, 3))
    picture = DRAW.integers(1, 255, (height, 40, 3), np.uint8)
    black = np.zeros((height, 1, 3), np.uint8)
    return Image.fromarray(np.hstack([blocks[0], black, picture, black, blocks[1]]))


def as_png(picture: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("height", [96, 97, 512])
@pytest.mark.parametrize("vectors", [1, 8])
def test_pixels_bring_the_same_numbers(height: int, vectors: int) -> None:
    data, rows = document(vectors)
    found = read_embedding(as_png(hidden(data, height)), "card.png")
    np.testing.assert_array_equal(found.embedding.rows["clip_l"], rows)
    assert (found.layout, found.token, found.steps) == ("a1111", "Mug", 40)
    assert (found.base.id, found.base.revision) == ("4c86efd062", "4c86efd062")


def test_a_black_border_is_no_part_of_it() -> None:
    data, rows = document()
    plain = hidden(data, 96)
    framed = Image.new("RGB", (plain.width + 20, plain.height + 14))
    framed.paste(plain, (9, 5))
    found = read_embedding(as_png(framed), "card.png")
    np.testing.assert_array_equal(found.embedding.rows["clip_l"], rows)


@pytest.mark.parametrize("packed", [False, True])
def test_the_text_chunk_comes_first(packed: bool) -> None:
    data, rows = document()
    other, _ = document(name="other")
    chunk = PngImagePlugin.PngInfo()
    chunk.add_text("sd-ti-embedding", base64.b64encode(data).decode(), zip=packed)
    chunk.add_text("parameters", "a photo of a mug")
    content = as_png(hidden(other, 96), pnginfo=chunk)
    found = read_words(in_memory(content, "card.png"))
    assert (found.container, found.layout) == ("png chunk", "a1111")
    np.testing.assert_array_equal(found.words[0].embedding.rows["clip_l"], rows)
    chunk = PngImagePlugin.PngInfo()
    assert read_words(in_memory(as_png(hidden(other, 96)), "x")).container == "png pixels"


def test_an_international_chunk_is_read_too() -> None:
    data, rows = document()
    for packed in (False, True):
        chunk = PngImagePlugin.PngInfo()
        chunk.add_itxt("sd-ti-embedding", base64.b64encode(data).decode(), zip=packed)
        found = read_embedding(as_png(Image.new("RGB", (8, 8), "red"), pnginfo=chunk), "x")
        np.testing.assert_array_equal(found.embedding.rows["clip_l"], rows)


def test_both_encoders_of_sdxl_travel_in_a_picture() -> None:
    content = {"clip_l": {"TORCHTENSOR": [[0.1] * 768]}, "clip_g": {"TORCHTENSOR": [[0.2] * 1280]},
               "name": "xl", "step": 7}  # fmt: skip
    found = read_embedding(as_png(hidden(json.dumps(content).encode(), 96)), "x")
    assert found.embedding.widths == {"clip_g": 1280, "clip_l": 768}
    assert (found.token, found.steps, found.base.family) == ("xl", 7, "sdxl")


def test_one_changed_bit_is_noticed() -> None:
    data, _ = document()
    pixels = np.asarray(hidden(data, 96)).copy()
    pixels[40, 2] ^= 1
    with pytest.raises(BadContent, match="no intact embedding"):
        read_embedding(as_png(Image.fromarray(pixels)), "x")


def test_unpacking_is_bounded() -> None:
    packed = zlib.compress(b" " * 1000)
    assert inflate(packed + b"padding", 1000) == b" " * 1000
    with pytest.raises(ValueError, match="more than"):
        inflate(packed, 999)
    with pytest.raises(ValueError, match="cut off"):
        inflate(packed[:-6], 1000)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        inflate(b"nonsense", 1000)


def test_a_chunk_with_a_wrong_checksum_is_refused() -> None:
    data = bytearray(as_png(Image.new("RGB", (8, 8))))
    data[data.index(b"IDAT") + 6] ^= 1
    with pytest.raises(BadContent, match="checksum"):
        read_embedding(bytes(data), "x")
