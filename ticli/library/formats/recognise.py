"""Naming a file that holds no readable vectors, by its first bytes."""

from __future__ import annotations

import re

from ticli.errors import BadContent

PICKLE_HINT = (
    "pickled files can run programs and are not read; convert it to safetensors where you trust it"
)
FETCH_HINT = "download the file itself"
WORD_HINT = "give the safetensors file of one learned word"
# First bytes → what it is, and what to do instead.
SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs.github.com/spec/", "a git-lfs pointer, not the file", FETCH_HINT),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture", WORD_HINT),
    (b"\xff\xd8\xff", "a JPEG picture", WORD_HINT),
    (b"GIF8", "a GIF picture", WORD_HINT),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", WORD_HINT),
    (b"GGUF", "a GGUF model", WORD_HINT),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"BZh", "a bzip2 archive", "unpack it first"),
    (b"\xfd7zXZ\x00", "an xz archive", "unpack it first"),
    (b"\x93NUMPY", "a NumPy array", WORD_HINT),
)
OLD_PICKLE = re.compile(rb"[(\])}]|c[\w.]+\n[\w.]+\n")
ZIP = b"PK\x03\x04"
TAR_MARK = slice(257, 262)


def refuse_unreadable(data: bytes, origin: str) -> BadContent:
    """The refusal that fits bytes which are not a safetensors file."""
    if not data:
        return BadContent(f"{origin} is empty", FETCH_HINT)
    for signature, kind, hint in SIGNATURES:
        if data.startswith(signature):
            return BadContent(f"{origin} is {kind}", hint)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return BadContent(f"{origin} is a WebP picture", WORD_HINT)
    if data.startswith(ZIP):
        if b"data.pkl" in data[:4096] or b"/data/" in data[:4096]:
            return BadContent(f"{origin} is a pickled PyTorch file", PICKLE_HINT)
        return BadContent(f"{origin} is a zip archive", "unpack it first")
    if _is_pickle(data):
        return BadContent(f"{origin} is a pickled file", PICKLE_HINT)
    if data[TAR_MARK] == b"ustar":
        return BadContent(f"{origin} is a tar archive", "unpack it first")
    if data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html")):
        return BadContent(f"{origin} is a web page, not the file", FETCH_HINT)
    return BadContent(f"{origin} is not a safetensors file", WORD_HINT)


def _is_pickle(data: bytes) -> bool:
    """Protocols 2 to 5 say so at once; 0 and 1 start on an opcode and end on STOP."""
    if data[0] == 0x80 and len(data) > 1 and data[1] in (2, 3, 4, 5):
        return True
    return bool(OLD_PICKLE.match(data)) and data.rstrip(b"\n").endswith(b".")
