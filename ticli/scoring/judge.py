"""Words judged: drawn under their protocol beside their class word, and measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ticli.errors import DeviceFailed, Usage
from ticli.generation.draw import Brush, condition_pair, paint, place_rows
from ticli.models.hardware import Hardware
from ticli.models.image_encoders import Judge, JudgeSource, Preprocessing, load_judge
from ticli.models.locate import ModelSource
from ticli.models.memory import memory_explained
from ticli.models.model import Model, Rows, load_model
from ticli.models.samplers import make_sampler
from ticli.models.single_files.probing import settle_prediction
from ticli.photos.cropping import training_picture
from ticli.photos.sentences import fill
from ticli.scoring.measures import (
    Seen,
    TextFigures,
    Texts,
    image_figures,
    obedience,
    photos_among_themselves,
    places_of,
    text_figures,
)
from ticli.scoring.protocol import Prompts, Protocol, sentences
from ticli.scoring.score_plan import Subject

# The pictures of one word that a protocol asks for.

# Pixels drawn at once: all sixteen of the starter's, and one of a large model's.
PIXELS_AT_ONCE = 16 * 128 * 128


@dataclass(frozen=True)
class Pictures:
    """What was drawn for one word: plain pictures, and for each scene a list."""

    plain: list[Image.Image]
    scenes: list[list[Image.Image]]


def draw_word(model: Model, word: str, rows: Rows, protocol: Protocol) -> Pictures:
    """Draw a protocol's pictures with `word` in place of {}; `rows` are its vectors by concept.

    A prompt's noise comes from its own seed on the CPU, all pictures of it at once, so that every
    word is drawn from the same. Raises Usage where the word falls outside the text window, and
    DeviceFailed.
    """
    drawn = list(draw_prompts(model, prompts_and_counts(word, protocol), rows, protocol))
    return Pictures(drawn[0], drawn[1:])


def prompts_and_counts(word: str, protocol: Protocol) -> list[tuple[str, int, int]]:
    """Each prompt with `word` in it, how many pictures it takes, and its seed."""
    prompts, counts = protocol.prompts, protocol.counts
    return [
        (fill(text, word), counts.scene if number else counts.plain, protocol.seed(number))
        for number, text in enumerate((prompts.plain, *prompts.scenes))
    ]


def draw_prompts(
    model: Model, jobs: list[tuple[str, int, int]], rows: Rows, protocol: Protocol
) -> Iterator[list[Image.Image]]:
    """Draw each (prompt, count, seed), yielding a prompt's pictures when they are finished."""
    vectors = {name: len(next(iter(keys.values()))) for name, keys in rows.items()}
    drawn = protocol.drawn
    at_once = max(1, PIXELS_AT_ONCE // (drawn.width * drawn.height))
    sampler = make_sampler(drawn.sampler, model.noise_schedule)
    advice = "use --device cpu, or score on a larger GPU"
    with (
        torch.no_grad(),
        memory_explained("the device ran out of memory", advice),
        model.pipeline(sampler) as pipeline,
    ):
        for prompt, count, seed in jobs:
            tokens = model.tokenise(prompt, vectors)
            if any(text.lost for text in tokens.values()):
                raise Usage(f"the word falls out of {prompt!r}", "shorten that prompt")
            both = [model.tokenise("", {}, negative=True), tokens]
            pair = condition_pair(model, both, rows, negative=False)
            noise = _noise(model, pipeline.vae_scale_factor, protocol, (count, seed))
            generator = torch.Generator("cpu").manual_seed(seed)
            brush = Brush(drawn.sampler, drawn.steps, drawn.guidance, generator)
            yield [
                _picture(pixels)
                for part in torch.split(noise, at_once)
                for pixels in paint(model, pipeline, pair, part, brush)
            ]


def _noise(model: Model, grain: int, protocol: Protocol, counted: tuple[int, int]) -> torch.Tensor:
    """Noise of (count, seed) in one draw, float32: (count, channels, height/grain, width/grain)."""
    count, seed = counted
    shape = (count, model.channels, protocol.drawn.height // grain, protocol.drawn.width // grain)
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))


def _picture(pixels: NDArray[np.float32]) -> Image.Image:
    """Turn (height, width, 3) in [0, 1] into a picture."""
    if not np.isfinite(pixels).all():
        raise DeviceFailed(
            "a picture came out as numbers that are not finite",
            "the word may be far too large (ti show NAME gives its norms); else try --dtype fp32",
        )
    return Image.fromarray((pixels * 255).round().astype(np.uint8))


# Pictures and sentences as unit features of an encoder that no training sees.

BATCH = 32


def picture_features(judge: Judge, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Unit features of pictures, (pictures, width), on the CPU.

    CLIP's are its projected ones; DINO's and DINOv2's the class token after the last norm
    (2104.14294, 2304.07193).
    """
    found = []
    for start in range(0, len(pictures), BATCH):
        pixels = torch.stack(
            [to_pixels(picture, judge.preprocessing) for picture in pictures[start : start + BATCH]]
        ).to(judge.device)
        with torch.no_grad():
            if judge.source.reads:
                features = _tensor(judge.module.get_image_features(pixel_values=pixels))
            else:
                features = judge.module(pixel_values=pixels).last_hidden_state[:, 0]
        found.append(features.float().cpu())
    return torch.nn.functional.normalize(torch.cat(found), dim=-1)


def sentence_features(judge: Judge, sentences: Sequence[str]) -> torch.Tensor:
    """Unit features of sentences, (sentences, width), on the CPU.

    Raises Usage for a sentence that the encoder would not read to its end.
    """
    for sentence in sentences:
        length = len(judge.tokenizer(sentence).input_ids)
        if length > judge.window:
            raise Usage(
                f"{judge.source.describe()} reads {judge.window - 2} tokens, and {sentence!r} has "
                f"{length - 2}",
                "shorten that prompt",
            )
    ids = judge.tokenizer(
        list(sentences), padding="max_length", max_length=judge.window, return_tensors="pt"
    ).to(judge.device)
    with torch.no_grad():
        features = _tensor(judge.module.get_text_features(**ids))
    return torch.nn.functional.normalize(features.float().cpu(), dim=-1)


def to_pixels(picture: Image.Image, how: Preprocessing) -> torch.Tensor:
    """Resize, cut out the middle and normalise: (3, height, width), float32."""
    image = picture.convert("RGB")
    size = how.exact or _with_short_side(image, how.shortest)
    if size != image.size:
        image = image.resize(size, Image.Resampling(how.resample))
    if how.crop:
        image = _middle(image, how.crop)
    values = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (how.mean, how.std))
    return (values - mean) / std


def _with_short_side(image: Image.Image, side: int | None) -> tuple[int, int]:
    if side is None:
        return image.size
    short, long = min(image.size), max(image.size)
    # Transformers and torchvision drop the fraction of the long side.
    far = int(side * long / short)
    return (side, far) if image.width <= image.height else (far, side)


def _middle(image: Image.Image, crop: tuple[int, int]) -> Image.Image:
    """The middle of a picture; where it is too small, black around it, as in transformers."""
    left, top = ((have - want) // 2 for have, want in zip(image.size, crop, strict=True))
    return image.crop((left, top, left + crop[0], top + crop[1]))


def _tensor(output: Any) -> torch.Tensor:
    """Features by themselves: newer transformers wrap them."""
    features: torch.Tensor = getattr(output, "pooler_output", output)
    return features


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


# One picture of all that a score speaks of: the photos, then what was drawn.

CELL, GAP, LABEL, ACROSS = 128, 4, 18, 8
INK = "#1c1c1c"


def sheet_of(judged: Judged, prompts: Prompts, trigger: str) -> Image.Image:
    """The photos on top, then eight plain pictures, then up to eight of each scene."""
    rows: list[tuple[str, Sequence[Image.Image]]] = [
        ("photos", judged.photos),
        (fill(prompts.plain, trigger), judged.pictures.plain),
    ]
    rows += [
        (fill(scene, trigger), drawn)
        for scene, drawn in zip(prompts.scenes, judged.pictures.scenes, strict=True)
    ]
    return lay_out(rows)


def lay_out(rows: Sequence[tuple[str, Sequence[Image.Image]]]) -> Image.Image:
    """Rows of pictures, each under its label; at most eight a row, made equally wide."""
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
