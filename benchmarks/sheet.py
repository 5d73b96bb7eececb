"""Draw a sheet of pictures with `ti generate`: photos on top, then one row a prompt.

    python benchmarks/sheet.py OUT.png PROMPT... [--photos FOLDER]... [--seeds 5]

Words in the prompts are concepts of the library; one column a seed from 0. The sheets of docs/:

    python benchmarks/sheet.py docs/mug.png --photos examples/mug "a photo of a <mug>"
        "a photo of a <mug> on the moon" "a photo of a <mug> on the beach"
        "an oil painting of a <mug>" "a <mug> next to a cat"
    python benchmarks/sheet.py docs/halftone.png --seeds 3 --photos HALFTONE "a photo of a house"
        "a house in the style of <halftone>" … and the same of a dog, a flower, a tree, a chair
    python benchmarks/sheet.py docs/two-words.png --photos MUG --photos CACTUS
        "a photo of a <mug>" "a photo of a <cactus>" "a <mug> next to a <cactus>"
        "a <cactus> next to a <mug>" "a <mug> next to a <cactus> on the moon"
        "a <cactus> in the style of <halftone>"
"""

from __future__ import annotations

import argparse
from pathlib import Path

from drawn import draw
from PIL import Image

from ticli.photos.cropping import training_picture
from ticli.photos.finding import find_photos
from ticli.photos.loading import load_photos
from ticli.scoring.judge import lay_out

SIZE = 128


def photos_of(folder: str) -> list[Image.Image]:
    """A folder's photos as a word learns them."""
    return [
        training_picture(photo, SIZE) for photo in load_photos(find_photos([folder]), SIZE).photos
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("prompts", nargs="+")
    parser.add_argument("--photos", action="append", default=[], metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    rows = [("photos", photos_of(folder)) for folder in options.photos]
    rows += [(prompt, draw(prompt, options.seeds)) for prompt in options.prompts]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lay_out(rows).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
