"""Words judged: drawn under their protocol beside their class word, and measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch
from PIL import Image

from ticli.generation.sampling import place_rows
from ticli.models.hardware import Hardware
from ticli.models.judging import Judge, JudgeSource, load_judge
from ticli.models.model import Model, Rows, load_model
from ticli.models.single_files.probing import settle_prediction
from ticli.models.source import ModelSource
from ticli.photos.cropping import training_picture
from ticli.scoring.drawing import Pictures, draw_prompts, prompts_and_counts
from ticli.scoring.encoders import picture_features, sentence_features
from ticli.scoring.measures import (
    Seen,
    TextFigures,
    Texts,
    image_figures,
    obedience,
    photos_among_themselves,
    text_figures,
)
from ticli.scoring.neighbours import places_of
from ticli.scoring.planning import Subject
from ticli.scoring.protocol import Protocol, sentences

DIGITS = 4
TOLD_EVERY = 10.0  # seconds
# What of a protocol the pictures depend on.
DRAWING = ("model", "model_fingerprint", "prompts", "counts", "drawn", "seeds")


@dataclass
class Studio:
    """The model and encoders that are loaded, and the class words that were drawn already.

    `said` hears what is being done, for people who wait.
    """

    hardware: Hardware
    said: Callable[[str], None] = lambda _text: None
    model: Model | None = None
    judges: dict[str, Judge] = field(default_factory=dict)
    drawn: dict[tuple[str, str], Pictures] = field(default_factory=dict)

    def model_of(self, source: ModelSource) -> Model:
        """The loaded model of a source; one at a time is kept."""
        if self.model is None or self.model.source != source:
            self.model = None
            self.said(f"loading {source.describe()} …")
            self.model = load_model(source, self.hardware)
            found = settle_prediction(self.model)
            if found:
                self.said(found)
        return self.model

    def judge_of(self, source: JudgeSource) -> Judge:
        """The loaded encoder of a source."""
        if source.sha256 not in self.judges:
            self.said(f"loading {source.describe()} …")
            self.judges[source.sha256] = load_judge(source, self.hardware.device)
        return self.judges[source.sha256]

    def class_pictures(self, model: Model, word: str, protocol: Protocol) -> Pictures:
        """The pictures of a class word, drawn once however many words are compared with it."""
        drawing = {k: v for k, v in protocol.as_json().items() if k in DRAWING}
        key = word, repr(drawing)
        if key not in self.drawn:
            self.drawn[key] = self.pictures(model, word, {}, protocol)
        return self.drawn[key]

    def pictures(self, model: Model, word: str, rows: Rows, protocol: Protocol) -> Pictures:
        """The pictures of a word; how far it is is said every ten seconds."""
        jobs = prompts_and_counts(word, protocol)
        total = sum(count for _, count, _ in jobs)
        self.said(f"drawing {total} pictures of {word!r} …")
        drawn: list[list[Image.Image]] = []
        told = time.monotonic()
        for pictures in draw_prompts(model, jobs, rows, protocol):
            drawn.append(pictures)
            if time.monotonic() - told >= TOLD_EVERY:
                told = time.monotonic()
                self.said(f"{sum(map(len, drawn))} of {total} pictures of {word!r}")
        return Pictures(drawn[0], drawn[1:])


@dataclass(frozen=True)
class Judged:
    """What came of one word: a report for each encoder, and the pictures they speak of."""

    reports: tuple[dict[str, Any], ...]
    photos: tuple[Image.Image, ...]
    pictures: Pictures


def judge_word(studio: Studio, subject: Subject) -> Judged:
    """Draw a word and its class word and measure both. Raises Usage and DeviceFailed."""
    began = time.monotonic()
    model = studio.model_of(subject.source)
    protocol = subject.protocols[0]
    reference = studio.class_pictures(model, subject.class_word, protocol)
    rows = place_rows({subject.concept.name: subject.embedding})
    pictures = studio.pictures(model, subject.trigger, rows, protocol)
    photos = tuple(training_picture(photo, subject.source.size) for photo in subject.photos.photos)
    places = places_of(model, subject.embedding)
    about = {
        "name": subject.label,
        "token": subject.concept.token,
        "trigger": subject.trigger,
        "class_word": subject.class_word,
        "places": {key: [asdict(place) for place in found] for key, found in places.items()},
        "photo_hashes": [photo.sha256 for photo in subject.photos.photos],
        "vectors_sha256": subject.concept.sha256,
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seconds": 0.0,
    }
    reports = []
    every = zip(subject.encoders, subject.protocols, subject.warmed, strict=True)
    for source, named, warmed in every:
        judge = studio.judge_of(source)
        material = Material(photos, pictures, reference, subject.class_word)
        figures = measure(judge, named, material)
        known = {"warmed_by_encoder": warmed, "protocol": named.as_json()}
        reports.append(_rounded(about | figures) | known)
    for report in reports:
        report["seconds"] = round(time.monotonic() - began, 3)
    return Judged(tuple(reports), photos, pictures)


@dataclass(frozen=True)
class Material:
    """What one encoder is to look at: photos, the word's pictures and the class word's."""

    photos: tuple[Image.Image, ...]
    word: Pictures
    class_pictures: Pictures
    class_word: str


def measure(judge: Judge, protocol: Protocol, material: Material) -> dict[str, Any]:
    """The figures of one encoder: `word`, `class` and `photos`, and the `way` gone.

    Those that compare with sentences are None where the encoder reads none.
    """
    photos = picture_features(judge, material.photos)
    word, reference = (see(judge, drawn) for drawn in (material.word, material.class_pictures))
    sides: dict[str, dict[str, Any]] = {
        "word": asdict(image_figures(word, photos)),
        "class": asdict(image_figures(reference, photos)),
    }
    texts: dict[str, dict[str, Any]] = {side: dict.fromkeys(TEXT_KEYS) for side in sides}
    if judge.source.reads:
        read = read_texts(judge, protocol, material.class_word)
        goal = text_figures(reference, read)
        for side, seen in (("word", word), ("class", reference)):
            found = text_figures(seen, read)
            texts[side] = asdict(found) | asdict(obedience(found, goal))
    mean, copied = photos_among_themselves(photos)
    start, reached = sides["class"]["image"], sides["word"]["image"]
    way = (reached - start) / (mean - start) if mean is not None and mean > start else None
    return {
        **{side: figures | texts[side] for side, figures in sides.items()},
        "photos": {"count": len(photos), "image": mean, "copied": copied},
        "way": way,
    }


TEXT_KEYS = (*TextFigures.__dataclass_fields__, "obedience", "obedience_bare")


def see(judge: Judge, drawn: Pictures) -> Seen:
    """The features of a word's pictures."""
    return Seen(
        picture_features(judge, drawn.plain),
        tuple(picture_features(judge, scene) for scene in drawn.scenes),
    )


def read_texts(judge: Judge, protocol: Protocol, class_word: str) -> Texts:
    """The features of a protocol's sentences. Raises Usage where one is too long."""
    prompts = protocol.prompts
    return Texts(
        sentence_features(judge, sentences(prompts, class_word)),
        sentence_features(judge, prompts.bare),
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, torch.Tensor):
        return round(float(value), DIGITS)
    return value
