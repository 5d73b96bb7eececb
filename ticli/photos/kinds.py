"""What a file is by its first bytes: a picture that can be opened, or what else it is."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

# So many bytes decide; an SVG may start with a comment.
HEAD = 512


@dataclass(frozen=True)
class Kind:
    """What a file is. `format` is Pillow's name if it can be opened; `advice` says what to do.

    `picture` is whether a user would call it a picture.
    """

    name: str
    format: str = ""
    advice: str = ""
    picture: bool = True


_CONVERT = "save it as JPEG or PNG"
HEIC = Kind("a HEIC photo", "HEIF")
RAW = Kind("a camera raw file", advice="export it as JPEG or PNG")
EMPTY = Kind("an empty file", advice="copy it again", picture=False)
_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", Kind("a JPEG", "JPEG")),
    (b"\x89PNG\r\n\x1a\n", Kind("a PNG", "PNG")),
    (b"GIF87a", Kind("a GIF", "GIF")),
    (b"GIF89a", Kind("a GIF", "GIF")),
    (b"II*\0", Kind("a TIFF", "TIFF")),
    (b"MM\0*", Kind("a TIFF", "TIFF")),
    (b"II+\0", Kind("a TIFF", "TIFF")),
    (b"MM\0+", Kind("a TIFF", "TIFF")),
    (b"\xff\x0a", Kind("a JPEG XL picture", advice=_CONVERT)),
    (b"\0\0\0\x0cJXL \r\n\x87\n", Kind("a JPEG XL picture", advice=_CONVERT)),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Kind("a JPEG 2000 picture", advice=_CONVERT)),
    (b"\xff\x4f\xff\x51", Kind("a JPEG 2000 picture", advice=_CONVERT)),
    (b"8BPS", Kind("a Photoshop document", advice="export it as PNG")),
    (b"\x76\x2f\x31\x01", Kind("an OpenEXR picture", advice=_CONVERT)),
    (b"#?RADIANCE", Kind("a Radiance HDR picture", advice=_CONVERT)),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIRO", RAW),
    (b"IIU\0", RAW),
    (b"%PDF-", Kind("a PDF", advice="export its picture as PNG", picture=False)),
    (b"PK\x03\x04", Kind("a ZIP archive", advice="unpack it first", picture=False)),
    (b"Rar!", Kind("a RAR archive", advice="unpack it first", picture=False)),
    (
        b"version https://git-lfs",
        Kind("a git-lfs pointer", advice="fetch the file itself: git lfs pull", picture=False),
    ),
)
# Brands of ISO base media files: ISO/IEC 23008-12 for HEIC, the AV1 image format for AVIF.
_BRANDS: Mapping[bytes, Kind] = {
    **dict.fromkeys((b"avif", b"avis"), Kind("an AVIF", "AVIF")),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), HEIC),
    b"crx ": RAW,
}
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_VIDEO = Kind("a video", advice="save a few of its frames as pictures", picture=False)
_WEB_PAGE = Kind("a web page", advice="download the picture itself", picture=False)
_SVG = Kind("an SVG drawing", advice="export it as PNG")
_UNKNOWN = Kind(
    "not a picture", advice="use JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF", picture=False
)

# A DNG or NEF is a TIFF by its first bytes, and Pillow would open the thumbnail in it.
_RAW_SUFFIXES = {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"}
_SUFFIXES = _RAW_SUFFIXES | {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".avif", ".heic", ".heif", ".hif"),
    *(".jxl", ".jp2", ".j2k", ".psd", ".svg", ".exr", ".hdr"),
}


def named_as_picture(path: PurePath) -> bool:
    """Whether a file's name promises a picture, so that its failure is worth naming."""
    return path.suffix.lower() in _SUFFIXES


def kind_of(head: bytes, path: PurePath) -> Kind:
    """Say what a file is from its first HEAD bytes; the name decides for camera raw alone."""
    if not head:
        return EMPTY
    if path.suffix.lower() in _RAW_SUFFIXES:
        return RAW
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Kind("a WebP", "WEBP")
    # Two letters are too little for a signature: the size of the header behind them must fit.
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return Kind("a BMP", "BMP")
    if head[4:8] == b"ftyp":
        return _media_kind(head)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return _WEB_PAGE
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return _SVG
    return _UNKNOWN


def _media_kind(head: bytes) -> Kind:
    """Choose by the brands of an `ftyp` box: the major one, then those it is compatible with."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))]
    kinds = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    if not kinds:
        return _VIDEO
    # `mif1` alone only says that it is a still picture; an AVIF may carry it first.
    if brands[0] in (b"mif1", b"msf1"):
        return next((kind for kind in kinds if kind is not HEIC), HEIC)
    return kinds[0]


# No pipe or device is ever waited for. A flag is 0 on systems that lack it.
_FLAGS = os.O_RDONLY
for _flag in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _flag, 0)
_SPECIAL = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Refusal(Exception):
    """Why a file cannot be used, and what to do; the caller says which file."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice


def read_regular(path: Path, limit: int) -> bytes:
    """Return all bytes of a regular file of at most `limit` bytes. Raises Refusal."""
    data = read_head(path, limit + 1)
    if len(data) > limit:
        raise Refusal(f"it is larger than {limit >> 20} MiB", "save a smaller copy of it")
    return data


def read_head(path: Path, count: int) -> bytes:
    """Return the first `count` bytes of a regular file, or all of a shorter one. Raises Refusal.

    Special files are refused before and after opening: another process may swap them in between.
    """
    try:
        _refuse_special(path.stat().st_mode)
        with os.fdopen(os.open(path, _FLAGS), "rb") as file:
            _refuse_special(os.fstat(file.fileno()).st_mode)
            return file.read(count)
    except (OSError, ValueError) as error:
        raise Refusal(why_unreadable(path, error)) from error


def why_unreadable(path: Path, error: OSError | ValueError) -> str:
    """Say in words why the system refused a path."""
    number = getattr(error, "errno", None)
    if number == errno.ELOOP:
        return "it is a link that leads back to itself"
    if number == errno.ENOENT and path.is_symlink():
        return "it is a link to a file that is gone"
    if number in (errno.EACCES, errno.EPERM):
        return "you may not read it"
    return getattr(error, "strerror", None) or str(error)


def _refuse_special(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise Refusal(f"it is {_SPECIAL.get(stat.S_IFMT(mode), 'no ordinary file')}")
