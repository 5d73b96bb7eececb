"""Bring any pixels to 8-bit sRGB: depth, palette, transparency, colour profile."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

from ticli.photos.reading import Refusal

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
    """Part a picture into colours and alpha (mode L); None where nothing is transparent.

    Raises Refusal where everything is.
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
