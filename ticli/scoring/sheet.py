"""One picture of all that a score speaks of: the photos, then what was drawn."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from ticli.photos.sentences import fill
from ticli.scoring.judging import Judged
from ticli.scoring.protocol import Prompts

CELL, GAP, LABEL, ACROSS = 128, 4, 18, 8
INK = "#1c1c1c"


def sheet_of(judged: Judged, prompts: Prompts, trigger: str) -> Image.Image:
    """The photos on top, then eight plain pictures, then up to eight of each scene."""
    rows: list[tuple[str, Sequence[Image.Image]]] = [
        ("photos", judged.photos),
        (fill(prompts.plain, trigger), judged.pictures.plain),
    ]
    rows += [
        (fill(scene, trigger), drawn)
        for scene, drawn in zip(prompts.scenes, judged.pictures.scenes, strict=True)
    ]
    return lay_out(rows)


def lay_out(rows: Sequence[tuple[str, Sequence[Image.Image]]]) -> Image.Image:
    """Rows of pictures, each under its label; at most eight a row, made equally wide."""
    across = min(ACROSS, max(len(pictures) for _, pictures in rows))
    step = CELL + GAP
    font = ImageFont.load_default(12)
    labels = max(round(font.getlength(label)) for label, _ in rows)
    width = GAP + max(across * step, labels + GAP)
    paper = Image.new("RGB", (width, len(rows) * (step + LABEL) + GAP), "white")
    pen = ImageDraw.Draw(paper)
    for number, (label, pictures) in enumerate(rows):
        top = number * (step + LABEL)
        pen.text((GAP, top + LABEL - 4), label, INK, font, "ls")
        for place, picture in enumerate(pictures[:ACROSS]):
            small = picture.resize((CELL, CELL), Image.Resampling.LANCZOS)
            paper.paste(small, (GAP + place * step, top + LABEL))
    return paper
