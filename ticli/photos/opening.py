"""Open one photo: read once, checked, decoded in full, turned upright, sRGB on white."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import JpegImageFile

from ticli.errors import BadContent
from ticli.photos.kinds import HEAD, HEIC, Kind, Refusal, kind_of, read_regular

_WIDE = ("I;16", "I;16L", "I;16B", "I;16N")
# Pixels of a profile's colour space and the Pillow mode that holds them.
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}


def flatten_depth(image: Image.Image) -> Image.Image:
    """Return the picture as L, LA, RGB, RGBA, CMYK or LAB, 8 bits a channel.

    16-bit greys are scaled, not clipped as Pillow's convert would. Raises Refusal for float and
    32-bit pixels, whose white nothing in the file defines.
    """
    if image.mode in _WIDE:
        return _scale_wide(image)
    if image.mode in ("F", "I"):
        raise Refusal(
            f"its pixels are {'floating-point' if image.mode == 'F' else '32-bit'} numbers",
            "save it with 8 or 16 bits a channel",
        )
    if image.mode in ("La", "RGBa"):
        return image.convert(image.mode.upper())
    if image.mode == "PA" or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "LAB"):
        return image
    return image.convert("RGB")


def _scale_wide(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.uint32)
    # 65535 / 255 = 257; rounded to the nearest.
    grey = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Part a picture into colours and alpha (mode L); None if nothing is transparent.

    Raises Refusal if everything is.
    """
    if image.mode not in ("LA", "RGBA"):
        return image, None
    alpha = image.getchannel("A")
    if alpha.getbbox() is None:
        raise Refusal("all of it is transparent")
    opaque = alpha.getextrema() == (255, 255)
    return image.convert(image.mode.removesuffix("A")), None if opaque else alpha


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, tuple[str, ...]]:
    """Convert L, RGB, CMYK or LAB pixels to sRGB by their colour profile, with notes."""
    if profile:
        try:
            return _managed(image, ImageCms.getOpenProfile(io.BytesIO(profile))), ()
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
        return to_srgb(image, None)[0], ("its colour profile is damaged and was not used",)
    if image.mode == "LAB":
        return _managed(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))), ()
    if image.mode == "CMYK":
        return image.convert("RGB"), ("CMYK without a colour profile: its colours are a guess",)
    return image.convert("RGB"), ()


def _managed(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    space = profile.profile.xcolor_space.strip()
    mode = _SPACES.get(space)
    if mode is None or (image.mode != mode and mode != "RGB"):
        raise ValueError(f"a profile for {space} on {image.mode} pixels")
    converted = ImageCms.profileToProfile(
        image if image.mode == mode else image.convert(mode),
        profile,
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    if converted is None:
        raise ValueError("the colour profile converts nothing")
    return converted


def on_white(image: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """Lay RGB pixels on white where they are transparent, whatever colour hides there."""
    if alpha is None:
        return image
    return Image.composite(image, Image.new("RGB", image.size, "white"), alpha)


LARGEST_FILE = 64 << 20
LARGEST_PICTURE = 50_000_000
# Pixels of the short side that are kept where the caller does not say what it trains on.
WORKING_SIDE = 1024
_ORIENTATION = 0x0112
# What undoes each value of the EXIF tag Orientation (CIPA DC-008, 4.6.4).
_TURNS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True, eq=False)
class Photo:
    """A usable photo. `width` and `height` are those of the upright picture in the file, in pixels.

    `image` (RGB) and `alpha` (L, or None if nothing is transparent) are upright too, and reduced if
    the file is larger than needed. `file` is the name without its folder. `mask` (L, as large as
    `image`) is light where the subject is, from `mask_file`, or from `alpha` if that is "".
    """

    path: Path
    file: str
    sha256: str
    width: int
    height: int
    image: Image.Image = field(repr=False)
    alpha: Image.Image | None = field(repr=False)
    turned: bool = False
    notes: tuple[str, ...] = ()
    mask: Image.Image | None = field(default=None, repr=False)
    mask_file: str = ""


@dataclass(frozen=True, eq=False)
class _Decoded:
    """Pixels as stored, and the size of the whole picture in the file.

    `orientation` is still to be undone; `turned` also counts what Pillow undid itself.
    """

    image: Image.Image
    size: tuple[int, int]
    orientation: int
    turned: bool
    notes: tuple[str, ...]


def open_photo(path: Path, size: int = WORKING_SIDE) -> Photo:
    """Open a photo; a larger one is reduced until its short side has `size` pixels.

    Raises BadContent, whose details hold `path` and `reason`.
    """
    try:
        return _photo(path, read_regular(path, LARGEST_FILE), size)
    except Refusal as refusal:
        raise BadContent(
            f"{path} cannot be used: {refusal.reason}",
            refusal.advice,
            path=str(path),
            reason=refusal.reason,
        ) from refusal


def _photo(path: Path, data: bytes, size: int) -> Photo:
    kind = kind_of(data[:HEAD], path)
    if not kind.format:
        raise Refusal(f"it is {kind.name}", kind.advice)
    with _listening() as heard:
        decoded = _decode_whole(data, kind, size)
        image, alpha, notes = _pixels(decoded.image, size)
    if any("orrupt" in str(warning.message) for warning in heard):
        notes = (*notes, "its metadata is damaged")
    turn = _TURNS.get(decoded.orientation)
    if turn is not None:
        image = image.transpose(turn)
        alpha = alpha.transpose(turn) if alpha else None
    width, height = decoded.size
    if decoded.orientation in _SIDEWAYS:
        width, height = height, width
    return Photo(
        path=path,
        # A name that is no UTF-8 could be written neither to the library nor to JSON.
        file=path.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
        sha256=hashlib.sha256(data).hexdigest(),
        width=width,
        height=height,
        image=image,
        alpha=alpha,
        turned=decoded.turned,
        notes=(*decoded.notes, *notes),
    )


@contextmanager
def _listening() -> Iterator[list[warnings.WarningMessage]]:
    """Collect Pillow's warnings, and keep its log off the terminal."""
    logger, silent = logging.getLogger("PIL"), logging.NullHandler()
    logger.addHandler(silent)
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            yield heard
    finally:
        logger.removeHandler(silent)


def _decode_whole(data: bytes, kind: Kind, size: int) -> _Decoded:
    """Decode a file; one whose pixels are whole may lack its end or have bad comments."""
    try:
        return _decode(data, kind, size)
    except Refusal:
        with suppress(Refusal):
            first, *others = (_decode(copy, kind, size) for copy in _mended(data, kind))
            # A progressive one may lack whole passes and nobody could tell.
            if "progressive" not in first.image.info and all(
                other.image == first.image for other in others
            ):
                return first
        raise


def _mended(data: bytes, kind: Kind) -> Iterator[bytes]:
    """Copies of a file that has lost its end or has bad comments, alike if its pixels are whole."""
    if kind.format == "PNG":
        yield _without_comments(data)
    elif kind.format == "JPEG" and data[-16:] != data[-1:] * 16:
        # What is missing would be filled from what follows, and differ. The marks are those of
        # restarts, where decoding goes on after a gap; two orders, because either may be passed by.
        for marks in ((), range(8), (4, 5, 6, 7, 0, 1, 2, 3)):
            fill = (_NOISE + bytes((0xFF, 0xD0 + mark)) + _NOISE for mark in marks)
            yield b"".join((data.rstrip(b"\xff"), *fill, b"\xff\xd9"))
    else:
        raise Refusal("it cannot be mended")


_NOISE = bytes(range(254, -1, -1))
# Chunks of a PNG, besides those in capitals, that matter to its pixels.
_SEEN = (b"tRNS", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"fdAT")


def _without_comments(data: bytes) -> bytes:
    """A PNG without its comments, with an end."""
    kept, at = [data[:8]], 8
    while (name := data[at + 4 : at + 8]) not in (b"", b"IEND"):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end <= len(data) and (name[:1].isupper() or name in _SEEN):
            kept.append(data[at:end])
        at = end
    return b"".join((*kept, b"\0\0\0\0IEND\xaeB`\x82"))


def _decode(data: bytes, kind: Kind, size: int) -> _Decoded:
    """Decode every pixel of the first frame. Raises Refusal."""
    # Decoders of hostile bytes raise any exception, not OSError alone.
    try:
        if kind is HEIC:
            image = _open_heic(data)
        else:
            image = Image.open(io.BytesIO(data), formats=[kind.format])
        full = image.size
        if isinstance(image, JpegImageFile) and "progressive" not in image.info:
            # Decoding at a half, quarter or eighth saves memory; twice the need keeps it sharp. A
            # progressive one is held in full all the same.
            image.draft(None, (2 * size, 2 * size))
        _refuse_huge(full, image.size)
        # That of a PNG may follow the pixels, and to look for it would hide that they are damaged.
        before = 1 if kind.format == "PNG" else _orientation(image)
        image.load()
        after = _orientation(image)
        many = image.format != "MPO" and getattr(image, "is_animated", False)
    except Refusal:
        raise
    except Image.DecompressionBombError as error:
        raise Refusal("it has far too many pixels", "save a smaller copy of it") from error
    except Exception as error:
        said = f"it is {kind.name} that is damaged"
        if isinstance(error, MemoryError):
            said = "it needs more memory than there is"
        elif "truncated" in str(error).lower():
            said = f"it is {kind.name} that was cut off: the file ends before the picture does"
        raise Refusal(said, "open it elsewhere and save it again") from error
    return _Decoded(
        image=image,
        size=full,
        orientation=after,
        turned=before in _TURNS or after in _TURNS,
        notes=("it holds several pictures; the first is used",) if many else (),
    )


def _open_heic(data: bytes) -> Image.Image:
    try:
        import pillow_heif
    except ImportError:
        raise Refusal(
            f"it is {HEIC.name}, and this installation cannot read those",
            'pip install "ticli[heic]", or save it as JPEG',
        ) from None
    opened = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    _refuse_huge(opened.size, opened.size)
    image: Image.Image = opened.to_pillow()
    return image


def _refuse_huge(full: tuple[int, int], decoded: tuple[int, int]) -> None:
    width, height = full
    if width < 1 or height < 1:
        raise Refusal(f"it is {width}×{height} pixels large")
    if math.prod(decoded) > LARGEST_PICTURE:
        raise Refusal(
            f"it is {width}×{height} pixels large, and {LARGEST_PICTURE // 1_000_000} million"
            " are the most",
            "save a smaller copy of it",
        )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none or its block is damaged."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception as error:
        # The picture is whole; only its metadata is not.
        warnings.warn(f"corrupt EXIF data: {error}", stacklevel=1)
        return 1
    return value if isinstance(value, int) else 1


def _pixels(
    image: Image.Image, size: int
) -> tuple[Image.Image, Image.Image | None, tuple[str, ...]]:
    """Bring decoded pixels to sRGB on white, short side at most `size`; alpha and notes beside."""
    profile = image.info.get("icc_profile")
    colours, alpha = split_alpha(_reduce(flatten_depth(image), size))
    rgb, notes = to_srgb(colours, profile if isinstance(profile, bytes) else None)
    return on_white(rgb, alpha), alpha, notes


def _reduce(image: Image.Image, size: int) -> Image.Image:
    short = min(image.size)
    if short <= size:
        return image
    width, height = (max(size, round(side * size / short)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
