"""Draw the README's sheet of a learned word with `ti generate`, photos on top.

    python benchmarks/sheet.py NAME PHOTOS OUT.png [--seeds 5]

NAME is a concept of the library; one row a prompt, one column a seed from 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from drawn import draw

from ticli.photos.cropping import training_picture
from ticli.photos.finding import find_photos
from ticli.photos.loading import load_photos
from ticli.scoring.sheet import lay_out

PROMPTS = (
    "a photo of a <{}>",
    "a photo of a <{}> on the moon",
    "a photo of a <{}> on the beach",
    "an oil painting of a <{}>",
    "a <{}> next to a cat",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("photos")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    photos = load_photos(find_photos([options.photos]), 128).photos
    rows = [("photos", [training_picture(photo, 128) for photo in photos])]
    named = [prompt.format(options.name) for prompt in PROMPTS]
    rows += [(prompt, draw(prompt, options.seeds)) for prompt in named]
    options.out.parent.mkdir(exist_ok=True)
    lay_out(rows).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
