"""What benchmarks share: prompts to tune on, which sets tune, and how a set is scored.

Pictures and figures are those of `ti score`: one protocol, everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ticli.concept import Concept, Embedding
from ticli.generation.draw import place_rows
from ticli.generation.picture_plan import DrawingRequest, settle
from ticli.models.fingerprint import fingerprint
from ticli.models.hardware import pick_hardware
from ticli.models.image_encoders import ImageEncoder, load_image_encoder, locate_image_encoder
from ticli.models.locate import STARTER_ID, locate
from ticli.models.model import Model, Rows, load_model
from ticli.photos.cropping import training_picture
from ticli.photos.finding import find_photos
from ticli.photos.loading import load_photos
from ticli.scoring.judge import (
    ProtocolPictures,
    draw_prompts,
    draw_protocol,
    picture_features,
    protocol_jobs,
    read_texts,
    see,
)
from ticli.scoring.measures import (
    image_figures,
    obedience,
    photos_among_themselves,
    text_figures,
)
from ticli.scoring.protocol import (
    PLAIN_SEED,
    SCENE_SEED,
    Counts,
    Protocol,
    prompts_for,
    prompts_of,
)

# For choosing recipes: no scene of the list that judges is among them, and half of the sets.
TUNING_SCENES = {
    "object": (
        "a photo of a {} in the snow",
        "a photo of a {} underwater",
        "a watercolor of a {}",
        "pixel art of a {}",
        "a photo of a {} in a library",
        "a {} next to a book",
        "a photo of three {}s",
    ),
    "style": (
        "a pot in the style of {}",
        "a car in the style of {}",
        "a bird in the style of {}",
        "a lamp in the style of {}",
    ),
}
TUNING_SETS = ("teapot", "robot", "owl")
STEPS, GUIDANCE, SAMPLER = 20, 4.0, "ddim"


@dataclass(frozen=True)
class PhotoSet:
    """One set of photos: its folder, what it shows, and the class word."""

    name: str
    folder: Path
    kind: str
    word: str


@dataclass(frozen=True)
class Bench:
    """The model and encoder of a benchmark, and what all its words are drawn under."""

    model: Model
    judge: ImageEncoder
    counts: Counts
    tuning: bool
    steps: int = STEPS
    seeds: tuple[int, int] = (PLAIN_SEED, SCENE_SEED)

    def protocol(self, kind: str) -> Protocol:
        """The protocol for words of a kind."""
        source = self.model.source
        prompts = prompts_for(kind)
        if self.tuning:
            prompts = prompts_of(kind, TUNING_SCENES["style" if kind == "style" else "object"])
        drawn = settle(DrawingRequest(self.steps, GUIDANCE, "", SAMPLER), source)
        bare = Protocol(
            source.describe(),
            fingerprint(source),
            *("", ""),
            prompts,
            self.counts,
            drawn,
            seeds=self.seeds,
        )
        return bare.by(self.judge.source)

    def photos(self, folder: Path) -> list[Image.Image]:
        """A folder's photos, cropped as for training."""
        size = self.model.source.size
        loaded = load_photos(find_photos([str(folder)]), size).photos
        return [training_picture(photo, size) for photo in loaded]


def open_bench(
    counts: Counts,
    *,
    tuning: bool,
    steps: int = STEPS,
    names: tuple[str, str] = (STARTER_ID, STARTER_ID),
    seeds: tuple[int, int] = (PLAIN_SEED, SCENE_SEED),
) -> Bench:
    """Load a model and an encoder on the CPU, by `names`; the starter and its scorer by default."""
    hardware = pick_hardware("cpu")
    model = load_model(locate(names[0]), hardware)
    judge = load_image_encoder(locate_image_encoder(names[1]), hardware.device)
    return Bench(model, judge, counts, tuning, steps, seeds)


def read_sets(folder: Path) -> dict[str, PhotoSet]:
    """The sets of a folder that holds concepts.json: each set's kind and class word."""
    facts = json.loads((folder / "concepts.json").read_text("utf-8"))
    return {
        name: PhotoSet(name, folder / name, fact["kind"], fact["word"])
        for name, fact in facts.items()
    }


def references(bench: Bench, photo_set: PhotoSet) -> tuple[dict[str, Any], ProtocolPictures]:
    """The figures of a set's class word and of its photos, and the class word's pictures."""
    protocol = bench.protocol(photo_set.kind)
    photos = picture_features(bench.judge, bench.photos(photo_set.folder))
    drawn = draw_protocol(bench.model, photo_set.word, {}, protocol)
    seen = see(bench.judge, drawn)
    text = text_figures(seen, read_texts(bench.judge, protocol, photo_set.word))
    image, copied = photos_among_themselves(photos)
    figures = image_figures(seen, photos) | text | obedience(text, text)
    return {
        "class": _rounded(figures),
        "photos": _rounded({"count": len(photos), "image": image, "copied": copied}),
        "protocol": protocol.as_json(),
    }, drawn


def figures_of(
    bench: Bench,
    photo_set: PhotoSet,
    learned: tuple[Concept, Embedding],
    reference: Mapping[str, Any],
) -> tuple[dict[str, Any], ProtocolPictures]:
    """The figures of one learned word beside its class word's, and its pictures."""
    concept, embedding = learned
    protocol = bench.protocol(photo_set.kind)
    rows = place_rows({concept.name: embedding})
    drawn = draw_protocol(bench.model, concept.trigger, rows, protocol)
    photos = picture_features(bench.judge, bench.photos(photo_set.folder))
    seen = see(bench.judge, drawn)
    text = text_figures(seen, read_texts(bench.judge, protocol, photo_set.word))
    figures = image_figures(seen, photos) | text | obedience(text, reference)
    return _rounded(figures), drawn


def likeness_to_one(
    bench: Bench, photo_set: PhotoSet, learned: tuple[Concept, Embedding], number: int
) -> float:
    """Mean cosine of a word's plain pictures with the one photo it was learned without."""
    concept, embedding = learned
    rows = place_rows({concept.name: embedding})
    drawn = plain_features(bench, photo_set, concept.trigger, rows)
    photo = picture_features(bench.judge, bench.photos(photo_set.folder)[number : number + 1])
    return round(float((drawn @ photo.T).mean()), 4)


def plain_features(bench: Bench, photo_set: PhotoSet, word: str, rows: Rows) -> torch.Tensor:
    """Features of a word's plain pictures ("a photo of" it), (pictures, width)."""
    protocol = bench.protocol(photo_set.kind)
    plain = protocol_jobs(word, protocol)[:1]
    (pictures,) = draw_prompts(bench.model, plain, rows, protocol.drawn)
    return picture_features(bench.judge, pictures)


def parse_counts(text: str) -> Counts:
    """Read "16,2": pictures of the plain prompt, and of each scene."""
    plain, scene = text.split(",")
    return Counts(int(plain), int(scene))


def parse_seeds(text: str) -> tuple[int, int]:
    """Read "5,6": seeds of the plain prompt's noise and of the first scene's; "" is the usual."""
    plain, scene = text.split(",") if text else (PLAIN_SEED, SCENE_SEED)
    return int(plain), int(scene)


def chosen(names: str, known: Sequence[str]) -> list[str]:
    """Read "a,b" against what there is; "" is all of it."""
    wanted = names.split(",") if names else list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise SystemExit(f"no {', '.join(unknown)}; there are {', '.join(known)}")
    return wanted


def _rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
