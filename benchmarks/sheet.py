"""Draw the README's sheet of a learned word with `ti generate`, photos on top.

    python benchmarks/sheet.py NAME PHOTOS OUT.png [--seeds 5]

NAME is a concept of the library; one row a prompt, one column a seed from 0.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

PROMPTS = (
    "a photo of a <{}>",
    "a photo of a <{}> on the moon",
    "a photo of a <{}> on the beach",
    "an oil painting of a <{}>",
    "a <{}> next to a cat",
)
CELL, LABEL = 132, 14


def main() -> None:
    from ticli.photos.cropping import training_picture
    from ticli.photos.finding import find_photos
    from ticli.photos.loading import load_photos

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("photos")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    photos = load_photos(find_photos([options.photos]), 128).photos
    rows = [("photos", [training_picture(photo, 128) for photo in photos])]
    for prompt in PROMPTS:
        folder = tempfile.mkdtemp()
        done = subprocess.run(
            [sys.executable, "-m", "ticli", "generate", prompt.format(options.name), "--seed", "0",
             "-n", str(options.seeds), "-o", folder, "--json", "-q"],
            stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        pictures = [Image.open(item["path"]) for item in json.loads(done.stdout)]
        rows.append((prompt.format(options.name), pictures))
    height = CELL + LABEL
    paper = Image.new("RGB", (CELL * max(len(row) for _, row in rows), height * len(rows)), "white")
    pen = ImageDraw.Draw(paper)
    for y, (label, row) in enumerate(rows):
        pen.text((3, y * height), label, fill="black")
        for x, picture in enumerate(row):
            paper.paste(picture, (x * CELL + 2, y * height + LABEL))
    options.out.parent.mkdir(exist_ok=True)
    paper.save(options.out, optimize=True)


if __name__ == "__main__":
    main()
