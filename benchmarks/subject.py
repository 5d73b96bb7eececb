"""Likeness to the subject alone: photos whose background is cut away, by masks of benchmarks/masks.

    python benchmarks/subject.py CONCEPTS [--out benchmarks/starter-0.1/finals] [--sets owl,robot]
        [--recipes default,script] [--background 230]

Words are those of seed 0 that quality.py left in --out, drawn as its finals draw "a photo of"; what
a set has no word of is left out, and its class word is drawn beside them. *Whole* is the cosine
with the photos as they are, *subject* that with the photos whose mask's black is one level of grey.
A word that draws its photos' backgrounds gains by the one and not by the other.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ledger import Ledger
from PIL import Image
from protocol import PhotoSet, chosen, open_bench, plain_features, read_sets
from quality import read_word
from quality_report import table

from ticli.generation.draw import place_rows
from ticli.models.model import Rows
from ticli.photos.cropping import training_mask, training_picture
from ticli.photos.finding import find_photos
from ticli.photos.loading import load_photos
from ticli.photos.sidecars import find_masks
from ticli.scoring.judge import picture_features
from ticli.scoring.protocol import Counts

MASKS = Path(__file__).parent / "masks"


def subjects(photo_set: PhotoSet, size: int, level: int) -> list[Image.Image]:
    """A set's photos, cropped around their subjects, on a background of one grey level."""
    with tempfile.TemporaryDirectory(prefix="ti-subject-") as folder:
        shutil.copytree(photo_set.folder, folder, dirs_exist_ok=True)
        shutil.copytree(MASKS / photo_set.name, folder, dirs_exist_ok=True)
        photos = find_masks(load_photos(find_photos([folder]), size).photos, size).photos
    grey = Image.new("RGB", (size, size), (level,) * 3)
    return [
        Image.composite(training_picture(photo, size), grey, training_mask(photo, size))
        for photo in photos
    ]


def words_of(
    out: Path, photo_set: PhotoSet, recipes: Sequence[str]
) -> Iterator[tuple[str, str, Rows]]:
    """A set's class word and the words learned of it: their names, what to write, their rows."""
    yield "class word", photo_set.word, {}
    ledger = Ledger(out / "ledger.jsonl")
    for recipe in recipes:
        key = f"{photo_set.name}/{recipe}/0"
        if trained := ledger.get("trained", key):
            file = out / "words" / f"{key}.safetensors"
            concept, embedding = read_word(file, trained["document"])
            yield recipe, concept.trigger, place_rows({concept.name: embedding})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("concepts", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/starter-0.1/finals"))
    parser.add_argument("--sets", default="teapot,owl,robot")
    parser.add_argument("--recipes", default="default,script")
    parser.add_argument("--background", type=int, default=230, help="0 is black, 255 white")
    options = parser.parse_args()
    sets = read_sets(options.concepts)
    bench = open_bench(Counts(32, 8), tuning=False)
    print("\n".join(table([("set", "word", "whole", "subject")])), flush=True)
    for photo_set in (sets[name] for name in chosen(options.sets, list(sets))):
        cut = subjects(photo_set, bench.model.source.size, options.background)
        whole = picture_features(bench.judge, bench.photos(photo_set.folder))
        alone = picture_features(bench.judge, cut)
        for name, word, rows in words_of(options.out, photo_set, options.recipes.split(",")):
            drawn = plain_features(bench, photo_set, word, rows)
            figures = [f"{float((drawn @ photos.T).mean()):.3f}" for photos in (whole, alone)]
            print(f"| {photo_set.name} | {name} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
