"""Score concepts: draw each beside its class word under one protocol, and measure both."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ticli.errors import Usage
from ticli.generation.draw import DrawingJob, Say, Studio, place_rows, silent
from ticli.generation.picture_plan import Drawing
from ticli.models.hardware import Hardware, pick_hardware
from ticli.models.image_encoders import (
    ImageEncoder,
    ImageEncoderSource,
    Preprocessing,
    load_image_encoder,
)
from ticli.models.locate import ModelSource
from ticli.models.model import Model, Rows, load_model
from ticli.models.single_files.probing import settle_prediction
from ticli.photos.cropping import training_picture
from ticli.photos.sentences import fill
from ticli.scoring.measures import (
    TEXT_KEYS,
    Figures,
    PictureFeatures,
    SentenceFeatures,
    image_figures,
    obedience,
    photos_among_themselves,
    places_of,
    text_figures,
    way,
)
from ticli.scoring.protocol import Protocol, sentences
from ticli.scoring.score_plan import ScorePlan, ScoreSubject

DIGITS = 4
BATCH = 32
NOTE_EVERY = 10.0  # seconds
# Pixels drawn at once: all sixteen of the starter's, and one of a large model's.
PIXELS_AT_ONCE = 16 * 128 * 128
# The parts of a protocol that the pictures depend on.
DRAWING = ("model", "model_fingerprint", "prompts", "counts", "drawn", "seeds")
CELL, GAP, LABEL, ACROSS = 128, 4, 18, 8
INK = "#1c1c1c"


@dataclass(frozen=True)
class ProtocolPictures:
    """The pictures a protocol asks for: plain ones, and a list for each scene."""

    plain: list[Image.Image]
    scenes: list[list[Image.Image]]


@dataclass(frozen=True)
class PromptJob:
    """A prompt, how many pictures it takes, and the seed of their noise."""

    prompt: str
    count: int
    seed: int


@dataclass(frozen=True)
class Score:
    """The result for one concept: a report for each encoder, and the pictures behind it."""

    subject: ScoreSubject
    reports: tuple[dict[str, Any], ...]
    photos: tuple[Image.Image, ...]
    pictures: ProtocolPictures

    def sheet(self) -> Image.Image:
        """The photos on top, then eight plain pictures, then up to eight of each scene."""
        prompts, trigger = self.subject.protocols[0].prompts, self.subject.trigger
        labels = [fill(prompt, trigger) for prompt in (prompts.plain, *prompts.scenes)]
        drawn = [self.pictures.plain, *self.pictures.scenes]
        return lay_out([("photos", self.photos), *zip(labels, drawn, strict=True)])


def score_concepts(plan: ScorePlan, note: Say = silent) -> Iterator[Score]:
    """Draw and measure every concept of a plan, one after the other; write nothing.

    Raises Usage, ModelUnavailable and DeviceFailed.
    """
    hardware = pick_hardware(plan.device, plan.dtype)
    note(f"{hardware.describe()}: {hardware.why}")
    scorer = Scorer(hardware, note)
    for subject in plan.subjects:
        yield scorer.score(subject)


class Scorer:
    """Keeps the loaded model, the encoders and the pictures of class words between concepts."""

    def __init__(self, hardware: Hardware, note: Say = silent) -> None:
        self.hardware = hardware
        self.note = note
        self._model: Model | None = None
        self._encoders: dict[str, ImageEncoder] = {}
        self._drawn: dict[tuple[str, str], ProtocolPictures] = {}

    def model_of(self, source: ModelSource) -> Model:
        """Load the model of a source, unless it is the last one used."""
        if self._model is None or self._model.source != source:
            self._model = None
            self.note(f"loading {source.describe()} …")
            self._model = load_model(source, self.hardware)
            self._model.tell = self.note
            if found := settle_prediction(self._model):
                self.note(found)
        return self._model

    def encoder_of(self, source: ImageEncoderSource) -> ImageEncoder:
        """Load the encoder of a source once."""
        if source.sha256 not in self._encoders:
            self.note(f"loading {source.describe()} …")
            self._encoders[source.sha256] = load_image_encoder(source, self.hardware.device)
        return self._encoders[source.sha256]

    def score(self, subject: ScoreSubject) -> Score:
        """Draw a concept and its class word and measure both. Raises Usage and DeviceFailed."""
        began = time.monotonic()
        model = self.model_of(subject.source)
        protocol = subject.protocols[0]
        reference = self._class_pictures(model, subject.class_word, protocol)
        rows = place_rows({subject.concept.name: subject.embedding})
        pictures = draw_protocol(model, subject.trigger, rows, protocol, self.note)
        size = subject.source.size
        photos = tuple(training_picture(photo, size) for photo in subject.photos.photos)
        about = {
            "name": subject.label,
            "token": subject.concept.token,
            "trigger": subject.trigger,
            "class_word": subject.class_word,
            "places": places_of(model, subject.embedding),
            "photo_hashes": [photo.sha256 for photo in subject.photos.photos],
            "vectors_sha256": subject.concept.sha256,
            "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        reports = []
        every = zip(subject.encoders, subject.protocols, subject.warmed, strict=True)
        for source, named, warmed in every:
            figures = measure(
                self.encoder_of(source), named, photos, pictures, reference, subject.class_word
            )
            known = {"warmed_by_encoder": warmed, "protocol": named.as_json()}
            text = json.dumps(about | figures)
            rounded = json.loads(text, parse_float=lambda number: round(float(number), DIGITS))
            reports.append(rounded | known)
        for report in reports:
            report["seconds"] = round(time.monotonic() - began, 3)
        return Score(subject, tuple(reports), photos, pictures)

    def _class_pictures(self, model: Model, word: str, protocol: Protocol) -> ProtocolPictures:
        """The pictures of a class word, drawn once however many concepts are compared with it."""
        drawing = {k: v for k, v in protocol.as_json().items() if k in DRAWING}
        key = word, repr(drawing)
        if key not in self._drawn:
            self._drawn[key] = draw_protocol(model, word, {}, protocol, self.note)
        return self._drawn[key]


def draw_protocol(
    model: Model, words: str, rows: Rows, protocol: Protocol, note: Say = silent
) -> ProtocolPictures:
    """Draw a protocol's pictures with `words` in place of {}; `rows` are the concept's vectors.

    Reports progress every ten seconds. Raises Usage if the concept falls outside the text window,
    and DeviceFailed.
    """
    jobs = protocol_jobs(words, protocol)
    total = sum(job.count for job in jobs)
    note(f"drawing {total} pictures of {words!r} …")
    drawn: list[list[Image.Image]] = []
    noted = time.monotonic()
    for pictures in draw_prompts(model, jobs, rows, protocol.drawn):
        drawn.append(pictures)
        if time.monotonic() - noted >= NOTE_EVERY:
            noted = time.monotonic()
            note(f"{sum(map(len, drawn))} of {total} pictures of {words!r}")
    return ProtocolPictures(drawn[0], drawn[1:])


def protocol_jobs(words: str, protocol: Protocol) -> list[PromptJob]:
    """The plain prompt and the scenes with `words` in them."""
    prompts, counts = protocol.prompts, protocol.counts
    jobs = [PromptJob(fill(prompts.plain, words), counts.plain, protocol.seed(0))]
    for number, scene in enumerate(prompts.scenes, 1):
        jobs.append(PromptJob(fill(scene, words), counts.scene, protocol.seed(number)))
    return jobs


def draw_prompts(
    model: Model, jobs: Sequence[PromptJob], rows: Rows, drawing: Drawing
) -> Iterator[list[Image.Image]]:
    """Draw each job, yielding its pictures when they are finished.

    All pictures of a prompt come from one draw of noise by the prompt's own seed, so that every
    concept starts from the same noise.
    """
    studio = Studio(model, rows)
    encoded = [DrawingJob(studio.encode(job.prompt), job.seed, job.count) for job in jobs]
    at_once = max(1, PIXELS_AT_ONCE // (drawing.width * drawing.height))
    return studio.draw(encoded, drawing, reseed=True, at_once=at_once)


def measure(
    encoder: ImageEncoder,
    protocol: Protocol,
    photos: Sequence[Image.Image],
    pictures: ProtocolPictures,
    reference: ProtocolPictures,
    class_word: str,
) -> dict[str, Any]:
    """The figures of `word` (the concept), `class` and `photos`, and the `way` between the two.

    `reference` holds the class word's pictures. Figures that need sentences are None if the encoder
    does not read.
    """
    real = picture_features(encoder, photos)
    seen = {"word": see(encoder, pictures), "class": see(encoder, reference)}
    sides: dict[str, Figures] = {
        side: image_figures(found, real) | dict.fromkeys(TEXT_KEYS) for side, found in seen.items()
    }
    if encoder.source.reads:
        texts = read_texts(encoder, protocol, class_word)
        goal = text_figures(seen["class"], texts)
        for side, found in seen.items():
            figures = text_figures(found, texts)
            sides[side] |= figures | obedience(figures, goal)
    mean, copied = photos_among_themselves(real)
    return {
        **sides,
        "photos": {"count": len(photos), "image": mean, "copied": copied},
        "way": way(sides["word"]["image"], sides["class"]["image"], mean),
    }


def read_texts(encoder: ImageEncoder, protocol: Protocol, class_word: str) -> SentenceFeatures:
    """The features of a protocol's sentences. Raises Usage if one is too long."""
    texts = sentences(protocol.prompts, class_word), protocol.prompts.bare
    return SentenceFeatures(*(sentence_features(encoder, part) for part in texts))


def see(encoder: ImageEncoder, drawn: ProtocolPictures) -> PictureFeatures:
    """The features of a concept's pictures."""
    return PictureFeatures(
        picture_features(encoder, drawn.plain),
        tuple(picture_features(encoder, scene) for scene in drawn.scenes),
    )


def picture_features(encoder: ImageEncoder, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Unit features of pictures, (pictures, width), on the CPU.

    CLIP's are its projected ones; DINO's and DINOv2's the class token after the last norm
    (2104.14294, 2304.07193).
    """
    found = []
    for start in range(0, len(pictures), BATCH):
        part = pictures[start : start + BATCH]
        pixels = torch.stack([to_pixels(picture, encoder.preprocessing) for picture in part])
        pixels = pixels.to(encoder.module.device)
        with torch.no_grad():
            if encoder.source.reads:
                features = _tensor(encoder.module.get_image_features(pixel_values=pixels))
            else:
                features = encoder.module(pixel_values=pixels).last_hidden_state[:, 0]
        found.append(features.float().cpu())
    return torch.nn.functional.normalize(torch.cat(found), dim=-1)


def sentence_features(encoder: ImageEncoder, sentences: Sequence[str]) -> torch.Tensor:
    """Unit features of sentences, (sentences, width), on the CPU.

    Raises Usage for a sentence that the encoder would cut off.
    """
    for sentence in sentences:
        # The tokens that begin and end a text do not count for people.
        length, room = len(encoder.tokenizer(sentence).input_ids) - 2, encoder.window - 2
        if length > room:
            raise Usage(
                f"{encoder.source.describe()} reads {room} tokens, and {sentence!r} has {length}",
                "shorten that prompt",
            )
    ids = encoder.tokenizer(
        list(sentences), padding="max_length", max_length=encoder.window, return_tensors="pt"
    ).to(encoder.module.device)
    with torch.no_grad():
        features = _tensor(encoder.module.get_text_features(**ids))
    return torch.nn.functional.normalize(features.float().cpu(), dim=-1)


def to_pixels(picture: Image.Image, how: Preprocessing) -> torch.Tensor:
    """Resize, cut out the middle and normalise: (3, height, width), float32."""
    image = picture.convert("RGB")
    size = how.exact or image.size
    if how.shortest and not how.exact:
        # Transformers and torchvision drop the fraction of the long side.
        width, height = (int(how.shortest * side / min(image.size)) for side in image.size)
        size = width, height
    if size != image.size:
        image = image.resize(size, Image.Resampling(how.resample))
    if how.crop:
        # Around a picture that is too small this puts black, as transformers does.
        left, top = ((have - want) // 2 for have, want in zip(size, how.crop, strict=True))
        image = image.crop((left, top, left + how.crop[0], top + how.crop[1]))
    values = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (how.mean, how.std))
    return (values - mean) / std


def _tensor(output: Any) -> torch.Tensor:
    """The features themselves: newer versions of transformers wrap them."""
    features: torch.Tensor = getattr(output, "pooler_output", output)
    return features


def lay_out(rows: Sequence[tuple[str, Sequence[Image.Image]]]) -> Image.Image:
    """Rows of pictures of equal size, each under its label; at most eight in a row."""
    across = min(ACROSS, max(len(pictures) for _, pictures in rows))
    step = CELL + GAP
    font = ImageFont.load_default(12)
    labels = max(round(font.getlength(label)) for label, _ in rows)
    width = GAP + max(across * step, labels + GAP)
    paper = Image.new("RGB", (width, len(rows) * (step + LABEL) + GAP), "white")
    pen = ImageDraw.Draw(paper)
    for number, (label, pictures) in enumerate(rows):
        top = number * (step + LABEL)
        pen.text((GAP, top + LABEL - 4), label, INK, font, "ls")
        for place, picture in enumerate(pictures[:ACROSS]):
            small = picture.resize((CELL, CELL), Image.Resampling.LANCZOS)
            paper.paste(small, (GAP + place * step, top + LABEL))
    return paper
