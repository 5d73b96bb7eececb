"""Learn a fairer word for a biased one from a curated set, and compare what the two draw.

    python benchmarks/fairer.py OUT.png [--word apple] [--pictures 16]

The starter's apples are red. The curated set is one picture a colour of COLOURS, drawn by the same
model from "a photo of a {colour} {word}"; `ti invert --recipe fairer` learns a word from it. Both
words are then drawn from the same seeds. Told of each: the share of pictures by hue, in six parts
of the circle, and R, the length of the pictures' mean hue: 1 where all are of one hue, near 0 where
they are spread over the circle.
"""

from __future__ import annotations

import argparse
import cmath
import math
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from drawn import draw, ti
from PIL import Image

from ticli.scoring.judge import lay_out

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")


def hue_of(picture: Image.Image) -> float:
    """The mean hue of a picture in radians, each pixel weighing its saturation squared."""
    hue, saturation, _ = np.asarray(picture.convert("HSV"), dtype=np.float64).transpose(2, 0, 1)
    turns = np.exp(2j * math.pi * hue / 256) * (saturation / 255) ** 2
    return cmath.phase(turns.sum()) % (2 * math.pi)


def describe(name: str, pictures: Sequence[Image.Image]) -> str:
    """A line on the hues of a word's pictures."""
    hues = [hue_of(picture) for picture in pictures]
    parts = Counter(HUES[round(hue / (2 * math.pi) * 6) % 6] for hue in hues)
    length = abs(sum(cmath.exp(1j * hue) for hue in hues)) / len(hues)
    shares = ", ".join(f"{part} {parts[part]}" for part in HUES if parts[part])
    return f"{name}: {shares} of {len(pictures)}; R {length:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--word", default="apple")
    parser.add_argument("--pictures", type=int, default=16)
    options = parser.parse_args()
    word, fair = options.word, f"{options.word}-fair"
    with tempfile.TemporaryDirectory(prefix="ti-fairer-") as place:
        folder = Path(place)
        os.environ["TI_HOME"] = str(folder / "home")
        curated = [
            draw(f"a photo of a {colour} {word}", 1, 100 + number)[0]
            for number, colour in enumerate(COLOURS)
        ]
        (folder / "set").mkdir()
        for colour, picture in zip(COLOURS, curated, strict=True):
            picture.save(folder / "set" / f"{colour}.png")
        learned = ("--token", f"<{fair}>", "--init", word, "--recipe", "fairer")
        ti("invert", str(folder / "set"), *learned)
        old = draw(f"a photo of a {word}", options.pictures)
        new = draw(f"a photo of a <{fair}>", options.pictures)
    print(describe("the curated set", curated))
    print(describe(word, old))
    print(describe(f"<{fair}>", new))
    rows = [("the curated set", curated), (word, old[:6]), (f"<{fair}>", new[:6])]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lay_out(rows).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
