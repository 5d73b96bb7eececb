"""Draw a sheet of a learned style on new subjects, or of two learned words in one prompt.

    python benchmarks/style_sheet.py OUT.png --style halftone --photos PHOTOS [--seeds 4]
    python benchmarks/style_sheet.py OUT.png --style halftone --object mug [--photos PHOTOS]

Every row is drawn by `ti generate` with seeds from 0; beside the style the same subject without it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from drawn import draw

from ticli.photos.cropping import training_picture
from ticli.photos.finding import find_photos
from ticli.photos.loading import load_photos
from ticli.scoring.sheet import lay_out

SUBJECTS = ("house", "dog", "flower", "tree", "chair")
TOGETHER = (
    "a photo of a <{object}>",
    "a picture in the style of <{style}>",
    "a <{object}> in the style of <{style}>",
    "a <{object}> on the beach in the style of <{style}>",
    "a <{object}> next to a cat in the style of <{style}>",
)


def prompts_of(options: argparse.Namespace) -> list[str]:
    """The prompts of the sheet, top to bottom."""
    if options.object:
        return [text.format(object=options.object, style=options.style) for text in TOGETHER]
    plain = [f"a photo of a {subject}" for subject in SUBJECTS]
    styled = [f"a {subject} in the style of <{options.style}>" for subject in SUBJECTS]
    return [prompt for pair in zip(plain, styled, strict=True) for prompt in pair]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--style", required=True, help="a learned style of the library")
    parser.add_argument("--object", default="", help="a learned thing, for a sheet of both")
    parser.add_argument("--photos", default="", help="photos for the first row")
    parser.add_argument("--seeds", type=int, default=4)
    options = parser.parse_args()
    rows = []
    if options.photos:
        photos = load_photos(find_photos([options.photos]), 128).photos
        rows.append(("photos", [training_picture(photo, 128) for photo in photos]))
    rows += [(prompt, draw(prompt, options.seeds)) for prompt in prompts_of(options)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lay_out(rows).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
