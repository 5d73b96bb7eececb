"""Naming a file that holds no readable vectors, by its first bytes."""

from __future__ import annotations

import re

from ticli.errors import BadContent
from ticli.library.formats.reading.opened import Opened

# So many bytes decide.
HEAD = 512
PICKLE_HINT = "a bare pickle can be a program and is not read; ask for a safetensors file"
FETCH_HINT = "download the file itself"
WORD_HINT = "give the file of a learned word"
UNPACK_HINT = "unpack it first"
FULL_MODEL = "a full model, not the embedding of a word"
# First bytes → what it is, and what to do instead.
SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs.github.com/spec/", "a git-lfs pointer, not the file", FETCH_HINT),
    (b"\xff\xd8\xff", "a JPEG picture", "only PNG pictures can carry a word"),
    (b"GIF8", "a GIF picture", "only PNG pictures can carry a word"),
    (b"\x89HDF\r\n\x1a\n", f"an HDF5 file: {FULL_MODEL}", WORD_HINT),
    (b"GGUF", f"a GGUF file: {FULL_MODEL}", WORD_HINT),
    (b"GGML", f"a GGML file: {FULL_MODEL}", WORD_HINT),
    (b"\x1f\x8b", "packed with gzip", UNPACK_HINT),
    (b"BZh", "packed with bzip2", UNPACK_HINT),
    (b"\xfd7zXZ\x00", "packed with xz", UNPACK_HINT),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", UNPACK_HINT),
    (b"\x04\x22\x4d\x18", "packed with lz4", UNPACK_HINT),
    (b"\x78\x01", "packed with zlib", UNPACK_HINT),
    (b"\x78\x5e", "packed with zlib", UNPACK_HINT),
    (b"\x78\x9c", "packed with zlib", UNPACK_HINT),
    (b"\x78\xda", "packed with zlib", UNPACK_HINT),
    (b"ZF0x", "packed by joblib", WORD_HINT),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK_HINT),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK_HINT),
    (b"\x93NUMPY", "a NumPy array", WORD_HINT),
    (b"SQLite format 3\x00", "an SQLite database", WORD_HINT),
    (b"%PDF-", "a PDF", WORD_HINT),
    (b"L\x00\x00\x00\x01\x14\x02\x00", "a Windows shortcut, not the file", "give the file itself"),
    (b"MZ", "a Windows program", WORD_HINT),
    (b"\x7fELF", "a program", WORD_HINT),
    (b"#!", "a script", WORD_HINT),
)
OLD_PICKLE = re.compile(rb"[(\])}]|c[\w.]+\n[\w.]+\n")
TAR_MARK = slice(257, 262)
UNFINISHED = (".crdownload", ".part", ".download", ".aria2", ".tmp")


def refuse_unreadable(head: bytes, file: Opened) -> BadContent:
    """The refusal that fits a file, of which `head` are the first bytes, that holds no tensors."""
    origin = file.origin
    if not head:
        return BadContent(f"{origin} is empty", FETCH_HINT)
    for signature, kind, hint in SIGNATURES:
        if head.startswith(signature):
            return BadContent(f"{origin} is {kind}", hint)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return BadContent(f"{origin} is a WebP picture", "only PNG pictures can carry a word")
    if _is_old_torch_tar(head):
        return BadContent(f"{origin} is a tar archive of the first torch: {FULL_MODEL}", WORD_HINT)
    if head[TAR_MARK] == b"ustar":
        return BadContent(f"{origin} is a tar archive", UNPACK_HINT)
    if _is_pickle(head, file):
        return BadContent(f"{origin} is a pickled file, but not one of torch.save", PICKLE_HINT)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html")):
        return BadContent(f"{origin} is a web page, not the file", FETCH_HINT)
    if origin.endswith(UNFINISHED):
        return BadContent(f"{origin} is an unfinished download", "wait until it is complete")
    return BadContent(f"{origin} is no file of learned words", WORD_HINT)


def _is_old_torch_tar(head: bytes) -> bool:
    """The tar files of 2016 begin with one of three members."""
    return head.split(b"\0", 1)[0] in (b"storages", b"tensors", b"sys_info", b"pickle")


def _is_pickle(head: bytes, file: Opened) -> bool:
    """Protocols 2 to 5 say so at once; 0 and 1 start on an opcode and end on STOP."""
    if head[0] == 0x80 and len(head) > 1 and head[1] in (2, 3, 4, 5):
        return True
    last = min(file.size, HEAD)
    tail = file.read(file.size - last, last)
    return bool(OLD_PICKLE.match(head)) and tail.rstrip(b"\n").endswith(b".")
