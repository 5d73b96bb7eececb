"""Compose photo sets that no recipe was tuned on: 24 things and 6 styles, half of them sealed.

    python benchmarks/photo_sets.py LAB OUT

LAB is the folder that makes the starter (its pack of cut-out things and backdrops, and world.py).
OUT gets `tune/` and `sealed/`, each a folder of concepts as benchmarks/quality.py takes it: five
photos a set and concepts.json. The starter has seen none of the things, or not in this drawing and
colour. A set has grounds, sizes and angles of its own; every third has busy grounds only, and the
photos differ in shape. What is sealed is scored once per decision, and the ledger shows it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

STRIPED, DOTTED, CHECKERED = 1, 2, 3
PHOTOS = 5
# Kept aside by whoever judges the result; they are in no set.
ASIDE = [
    "rocket",
    "penguin",
    "violin",
    "cupcake",
    "snail",
    "red paper lantern",
    "camera",
    "tractor",
]
BUSY = ("flowers", "library", "kitchen", "city", "forest", "picnic")
CALM = ("beach", "snow", "table", "grass", "desert", "brick", "road", "lake", "stage")
SHAPES = ((128, 128), (128, 96), (96, 128), (128, 112), (112, 128))


@dataclass(frozen=True)
class Thing:
    """A set: its label and drawing in the pack, its class word, and how it is painted over."""

    name: str
    label: str
    drawing: str
    word: str
    color: str | None = None
    pattern: int = 0
    second: str = "white"


# Neighbours of one kind lie in turn in the half that tunes and in the half that is sealed.
THINGS = (
    Thing("teddy", "teddy bear", "fluent3d", "toy"),
    Thing("dolls", "nesting dolls", "noto", "toy"),
    Thing("hamburger", "hamburger", "noto", "bread"),
    Thing("pretzel", "pretzel", "fluent3d", "bread"),
    Thing("sailboat", "sailboat", "fluent-emoji", "boat"),
    Thing("scooter", "motor scooter", "noto", "vehicle"),
    Thing("octopus", "octopus", "noto", "crab"),
    Thing("hedgehog", "hedgehog", "fluent3d", "rabbit"),
    Thing("pineapple", "pineapple", "fluent3d", "watermelon"),
    Thing("pear", "pear", "twemoji", "apple"),
    Thing("urn", "funeral urn", "noto", "vase"),
    Thing("teacup", "teacup without handle", "fluent3d", "cup"),
    Thing("accordion", "accordion", "fluent3d", "instrument"),
    Thing("saxophone", "saxophone", "noto", "instrument"),
    Thing("dragon", "dragon", "noto", "crocodile"),
    Thing("unicorn", "unicorn", "fluent3d", "horse"),
    Thing("peacock", "peacock", "noto", "bird"),
    Thing("flamingo", "flamingo", "fluent3d", "bird"),
    Thing("striped-cat", "cat", "twemoji", "cat", "orange", STRIPED, "purple"),
    Thing("striped-fish", "tropical fish", "twemoji", "fish", "red", STRIPED, "white"),
    Thing("dotted-balloon", "balloon", "fluent3d", "balloon", "yellow", DOTTED, "blue"),
    Thing("dotted-dog", "dog", "noto", "dog", "pink", DOTTED, "teal"),
    Thing("checkered-car", "automobile", "twemoji", "car", "green", CHECKERED, "yellow"),
    Thing("checkered-chair", "chair", "twemoji", "chair", "blue", CHECKERED, "orange"),
)
STYLES = (
    ("blueprint", "blueprint", "sketch"),
    ("line", "line", "sketch"),
    ("stained", "stained", "watercolor"),
    ("mosaic", "mosaic", "pixel art"),
    ("neon", "neon", "cartoon"),
    ("sepia", "sepia", "photo"),
)
# What is drawn in a style: things that the starter knows.
SHOWN = ("cat", "automobile", "house", "closed book", "tulip", "guitar", "dog", "castle")


class Lab:
    """The pack of a lab folder, and its own compositor."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(folder))
        import world
        from captions import BG, COLOR

        self.world, self.plain, self.colors = world, BG, COLOR
        rows, scenes, things, grounds = world.load_pack(str(folder / "pack.npz"))
        self.rows, self.scenes = rows, scenes
        self.things = torch.from_numpy(things).permute(0, 3, 1, 2).contiguous()
        self.grounds = torch.from_numpy(grounds).permute(0, 3, 1, 2).contiguous()

    def thing(self, label: str, drawing: str) -> int:
        for number, row in enumerate(self.rows):
            if row["label"] == label and row["style"] == drawing:
                return number
        raise SystemExit(f"the pack has no {label} drawn as {drawing}")

    def photo(self, spec: dict[str, Any], seed: int) -> Image.Image:
        """Compose one picture and cut it to its shape, 128 pixels at its short side."""
        torch.manual_seed(seed)
        batch = self.world.pack([spec], None, 0, 0.0, random.Random(seed))
        pixels = self.world.compose(self.things, self.grounds, batch)[0]
        whole = Image.fromarray(
            ((pixels + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        )
        width, height = spec["shape"]
        left, top = (128 - width) // 2, (128 - height) // 2
        cut = whole.crop((left, top, left + width, top + height))
        scale = 128 / min(width, height)
        return cut.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)


def of_thing(lab: Lab, thing: Thing, number: int) -> list[dict[str, Any]]:
    """The specs of a thing's photos."""
    draw = random.Random(f"thing {thing.name}")
    grounds = draw.sample(BUSY if number % 3 == 0 else CALM, PHOTOS)
    paint = {
        "color": lab.colors[thing.color] if thing.color else None,
        "pat": thing.pattern,
        "pc": lab.colors[thing.second] if thing.pattern else (0, 0, 0),
    }
    specs = []
    for ground, shape in zip(grounds, SHAPES, strict=True):
        scene = draw.choice([i for i, kind in enumerate(lab.scenes) if kind == ground])
        size = draw.uniform(0.5, 0.88) * min(shape) / 128
        place = 0.5 + draw.uniform(-0.06, 0.06), 0.54 + draw.uniform(-0.04, 0.05)
        slot = (lab.thing(thing.label, thing.drawing), *place, size, paint)
        specs.append(
            {"slots": [slot], "scene": scene, "plain": None, "style": "none", "shape": shape}
        )
    return specs


def of_style(lab: Lab, name: str, style: str) -> list[dict[str, Any]]:
    """The specs of a style's photos."""
    draw = random.Random(f"style {name}")
    plain = {"color": None, "pat": 0, "pc": (0, 0, 0)}
    specs = []
    for label, ground in zip(draw.sample(SHOWN, PHOTOS), draw.sample(CALM, PHOTOS), strict=True):
        scene = draw.choice([i for i, kind in enumerate(lab.scenes) if kind == ground])
        slot = (lab.thing(label, "fluent3d"), 0.5, 0.54, draw.uniform(0.6, 0.9), plain)
        specs.append(
            {"slots": [slot], "scene": scene, "plain": None, "style": style, "shape": SHAPES[0]}
        )
    return specs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lab", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    assert not {thing.label for thing in THINGS} & set(ASIDE)
    lab = Lab(options.lab)
    sets = [
        (thing.name, "object", thing.word, of_thing(lab, thing, number))
        for number, thing in enumerate(THINGS)
    ] + [(name, "style", word, of_style(lab, name, style)) for name, style, word in STYLES]
    for half, members in (("tune", sets[0::2]), ("sealed", sets[1::2])):
        known = {}
        for name, kind, word, specs in members:
            folder = options.out / half / name
            folder.mkdir(parents=True, exist_ok=True)
            known[name] = {"kind": kind, "word": word}
            for number, spec in enumerate(specs, 1):
                picture = lab.photo({"bright": 0.0, **spec, "caption": ""}, number)
                picture.save(folder / f"{name}-{number}.png")
        (options.out / half / "concepts.json").write_text(json.dumps(known, indent=1))


if __name__ == "__main__":
    main()
