"""Pictures built in the test, and the example photos."""

from __future__ import annotations

import io
import signal
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for photos, beside the test's home."""
    made = tmp_path / "photos"
    made.mkdir()
    return made


@pytest.fixture
def mug() -> Path:
    """The five example photos; mug-2.jpg is stored lying on its side."""
    return Path(__file__).parents[3] / "examples" / "mug"


@pytest.fixture
def corners() -> Image.Image:
    """48 × 32 pixels: red and green above, blue and yellow below."""
    image = Image.new("RGB", (48, 32), "red")
    image.paste("lime", (24, 0, 48, 16))
    image.paste("blue", (0, 16, 24, 32))
    image.paste("yellow", (24, 16, 48, 32))
    return image


@pytest.fixture
def png() -> Callable[..., bytes]:
    """Build a PNG chunk by chunk: `png(width, height, depth, colour, rows)`."""

    def build(
        width: int, height: int, depth: int, colour: int, rows: bytes, *extra: tuple[bytes, bytes]
    ) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
        chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
        packed = (
            struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))
            for tag, body in chunks
        )
        return b"\x89PNG\r\n\x1a\n" + b"".join(packed)

    return build


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """Return the bytes of a picture saved in a format."""

    def encode(image: Image.Image, format: str, **options: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, format, **options)
        return buffer.getvalue()

    return encode


@pytest.fixture
def hang_guard() -> Iterator[None]:
    """Fail a test that waits on a pipe instead of refusing it."""

    def fail(number: int, frame: object) -> None:
        raise AssertionError("it waits for ever")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
