"""The protocol of a score: all that is drawn and measured, so that two scores can be compared."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ticli.errors import Usage, counted
from ticli.generation.picture_plan import Drawing
from ticli.models.image_encoders import ImageEncoderSource
from ticli.photos.sentences import PLACE, fill

PLAIN_SEED, SCENE_SEED = 5, 6
SAMPLES, SAMPLES_A_SCENE = 16, 2
MOST_SAMPLES = 1000
# What the starter's scores are drawn with; other models are drawn as `ti generate` draws them.
STARTER_STEPS, STARTER_SAMPLER = 20, "ddim"
TREATMENT = "sentences are read with the class word in place of {}, bare ones without any subject"


@dataclass(frozen=True)
class Prompts:
    """The prompts a concept is drawn in: plain, and in scenes; {} stands for the concept.

    `bare` are the scenes without a subject.
    """

    plain: str
    scenes: tuple[str, ...]
    bare: tuple[str, ...]


OBJECTS = Prompts(
    "a photo of a {}",
    (
        "a photo of a {} on the moon",
        "a photo of a {} on the beach",
        "an oil painting of a {}",
        "a pencil sketch of a {}",
        "a photo of a {} in the forest",
        "a {} next to a cat",
        "a photo of two {}s",
    ),
    (
        *("on the moon", "on the beach", "an oil painting", "a pencil sketch", "in the forest"),
        *("next to a cat", "a photo of two"),
    ),
)
# A style is drawn on subjects that none of its pictures show.
STYLES = Prompts(
    "a picture in the style of {}",
    (
        "a mug in the style of {}",
        "a house in the style of {}",
        "a dog in the style of {}",
        "a flower in the style of {}",
        "a tree in the style of {}",
        "a chair in the style of {}",
        "a boat in the style of {}",
    ),
    ("a mug", "a house", "a dog", "a flower", "a tree", "a chair", "a boat"),
)


@dataclass(frozen=True)
class Counts:
    """How many pictures are drawn: of the plain prompt, and of each scene."""

    plain: int = SAMPLES
    scene: int = SAMPLES_A_SCENE


@dataclass(frozen=True)
class Protocol:
    """Everything a score depends on besides the concept, its photos and its class word."""

    model: str
    model_fingerprint: str
    encoder: str
    encoder_sha256: str
    prompts: Prompts
    counts: Counts
    drawn: Drawing
    placeholder: str = TREATMENT
    seeds: tuple[int, int] = (PLAIN_SEED, SCENE_SEED)

    def by(self, encoder: ImageEncoderSource) -> Protocol:
        """The same protocol by one encoder."""
        return replace(self, encoder=encoder.describe(), encoder_sha256=encoder.sha256)

    def as_json(self) -> dict[str, Any]:
        """Every value, and an `id` that only equal protocols share."""
        document = json.loads(json.dumps(asdict(self)))
        text = json.dumps(document, sort_keys=True)
        return {"id": hashlib.sha256(text.encode()).hexdigest()[:12], **document}

    def describe(self) -> str:
        """One line for people that names everything that changes a figure."""
        drawn, counts = self.drawn, self.counts
        return (
            f"encoder {self.encoder} · {counts.plain} of {self.prompts.plain!r}, {counts.scene} of "
            f"each of {len(self.prompts.scenes)} scenes · seeds {self.seeds[0]}, "
            f"{self.seeds[1]} + scene · {self.model}, {counted(drawn.steps, 'step')} of "
            f"{drawn.sampler}, guidance {drawn.guidance:g}, {drawn.width}x{drawn.height} · "
            f"{self.placeholder}"
        )

    def seed(self, number: int) -> int:
        """The seed of a prompt's noise; number 0 is the plain prompt, n the n-th scene."""
        return self.seeds[1] + number - 1 if number else self.seeds[0]


def prompts_for(kind: str) -> Prompts:
    """The prompts for a kind of concept."""
    return STYLES if kind == "style" else OBJECTS


def prompts_of(kind: str, scenes: Sequence[str]) -> Prompts:
    """The prompts with a user's own scenes; the bare ones leave out {} and its article."""
    return Prompts(prompts_for(kind).plain, tuple(scenes), tuple(map(without_subject, scenes)))


def without_subject(scene: str) -> str:
    """A scene's sentence without its subject, as Gal et al. 2022 compare texts."""
    gap = re.sub(rf"\b(?:an?|the|my|one|two|three)\s+{re.escape(PLACE)}s?", "", scene)
    return " ".join(gap.replace(PLACE, "").split())


def sentences(prompts: Prompts, class_word: str) -> list[str]:
    """The scenes as an encoder reads them, with the class word in place of the concept."""
    return [fill(scene, class_word) for scene in prompts.scenes]


def counts_of(samples: int | None, scene_samples: int | None) -> Counts:
    """Fill in what a user left open: each scene gets an eighth of the plain pictures' number.

    Raises Usage for a number out of its range.
    """
    plain = SAMPLES if samples is None else samples
    scene = max(1, plain * SAMPLES_A_SCENE // SAMPLES) if scene_samples is None else scene_samples
    for flag, count in (("--samples", plain), ("--scene-samples", scene)):
        if not 1 <= count <= MOST_SAMPLES:
            raise Usage(f"{flag} must be 1 to {MOST_SAMPLES}, not {count}")
    return Counts(plain, scene)
