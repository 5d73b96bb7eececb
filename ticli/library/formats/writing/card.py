"""A plain card that says what word a picture carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ticli.library.formats.writing.package import Package

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

# Pixels a side.
SIDE = 512
MARGIN = 32
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
