"""The figures of a score: means and shares of cosines between unit features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ticli.concept import Embedding
from ticli.models.model import Model, TextEncoder


@dataclass(frozen=True)
class Seen:
    """Unit features of one word's pictures: `plain` (pictures, width), `scenes` one each scene."""

    plain: torch.Tensor
    scenes: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Texts:
    """Unit features of the scenes' sentences, (scenes, width): with the class word, and bare."""

    sentences: torch.Tensor
    bare: torch.Tensor


@dataclass(frozen=True)
class ImageFigures:
    """How much pictures look like photos; `copied` is None where one photo has no neighbour."""

    image: float
    image_in_scenes: float
    copied: float | None


@dataclass(frozen=True)
class TextFigures:
    """How much scene pictures are what was asked for.

    `text` is the mean cosine T of scene pictures with their sentences, `text_plain` T0 that of the
    plain pictures with them; the `bare` ones are the same with sentences that have no subject.
    `scene_accuracy` is None for a single scene.
    """

    text: float
    text_plain: float
    text_bare: float
    text_bare_plain: float
    scene_accuracy: float | None


@dataclass(frozen=True)
class Obedience:
    """(T − T0) / (Tc − T0), Tc the class word's T: 1 obeys as well as it, 0 not at all.

    None where the class word's own pictures do not tell the scenes from T0.
    """

    obedience: float | None
    obedience_bare: float | None


def image_figures(seen: Seen, photos: torch.Tensor) -> ImageFigures:
    """Compare a word's pictures with photos, (photos, width)."""
    plain = seen.plain @ photos.T
    nearest = nearest_among(photos)
    copied = None
    if nearest is not None:
        copied = float((plain.max(1).values > nearest.mean()).float().mean())
    scenes = torch.cat(seen.scenes)
    return ImageFigures(float(plain.mean()), float((scenes @ photos.T).mean()), copied)


def text_figures(seen: Seen, texts: Texts) -> TextFigures:
    """Compare a word's scene pictures with the scenes' sentences."""
    scenes = torch.cat(seen.scenes)
    own = torch.tensor([n for n, scene in enumerate(seen.scenes) for _ in scene])
    cosines = scenes @ texts.sentences.T
    found = cosines.argmax(1) == own
    return TextFigures(
        text=float(cosines.gather(1, own[:, None]).mean()),
        text_plain=float((seen.plain @ texts.sentences.T).mean()),
        text_bare=float((scenes @ texts.bare.T).gather(1, own[:, None]).mean()),
        text_bare_plain=float((seen.plain @ texts.bare.T).mean()),
        scene_accuracy=float(found.float().mean()) if len(seen.scenes) > 1 else None,
    )


def obedience(word: TextFigures, class_word: TextFigures) -> Obedience:
    """How far a word goes from T0, its own plain pictures, to the class word's T."""
    return Obedience(
        _way(word.text, word.text_plain, class_word.text),
        _way(word.text_bare, word.text_bare_plain, class_word.text_bare),
    )


def photos_among_themselves(photos: torch.Tensor) -> tuple[float | None, float | None]:
    """Mean cosine of photos with one another, and the share that lies nearer than the average.

    That share is what `copied` comes to for real photos. Both are None for a single photo.
    """
    nearest = nearest_among(photos)
    if nearest is None:
        return None, None
    count = len(photos)
    mean = float(((photos @ photos.T).sum() - count) / (count * (count - 1)))
    return mean, float((nearest > nearest.mean()).float().mean())


def nearest_among(photos: torch.Tensor) -> torch.Tensor | None:
    """The cosine of each photo with the nearest other one, (photos,); None for a single photo."""
    if len(photos) < 2:
        return None
    return (photos @ photos.T - 2 * torch.eye(len(photos))).max(1).values


def leave_one_out(seen: Sequence[Seen], photos: torch.Tensor) -> float:
    """Image similarity where word i never saw photo i: each word's pictures with its photo alone.

    `seen[i]` are pictures of the word that was learned without `photos[i]`.
    """
    pairs = zip(seen, photos, strict=True)
    return sum(float((word.plain @ photo).mean()) for word, photo in pairs) / len(photos)


def _way(reached: float, start: float, goal: float) -> float | None:
    return (reached - start) / (goal - start) if goal > start else None


# Where a word lies among the words of the vocabulary: its norms, and the words nearest to it.

NEAREST = 5
# Chunks of 8192 vectors keep a table of 256 000 words, as Gemma's, from being copied whole.
CHUNK = 8192


@dataclass(frozen=True)
class Neighbour:
    """A word of the vocabulary and its cosine with a vector."""

    word: str
    cosine: float


@dataclass(frozen=True)
class Place:
    """One vector among the vocabulary's.

    `norm` is its L2 norm, `ratio` that over the vocabulary's median `vocabulary`, `larger` the
    share of the vocabulary with a smaller norm.
    """

    norm: float
    vocabulary: float
    ratio: float
    larger: float
    nearest: tuple[Neighbour, ...]


def places_of(
    model: Model, embedding: Embedding, count: int = NEAREST
) -> dict[str, tuple[Place, ...]]:
    """Where each vector of a word lies, by text encoder."""
    return {
        encoder.key: tuple(
            _place(encoder, torch.from_numpy(row.copy()), count)
            for row in embedding.rows[encoder.key]
        )
        for encoder in model.encoders
        if encoder.key in embedding.rows
    }


def _place(encoder: TextEncoder, vector: torch.Tensor, count: int) -> Place:
    table = encoder.table.detach()
    norms, cosines = [], []
    unit = torch.nn.functional.normalize(vector.float(), dim=0)
    for rows in torch.split(table, CHUNK):
        part = rows.float().cpu()
        norms.append(part.norm(dim=1))
        cosines.append(part @ unit / norms[-1].clamp_min(1e-12))
    lengths, all_cosines = torch.cat(norms), torch.cat(cosines)
    norm, median = float(vector.float().norm()), float(lengths.median())
    return Place(
        norm=norm,
        vocabulary=median,
        ratio=norm / median,
        larger=float((lengths < norm).float().mean()),
        nearest=_nearest(encoder.tokenizer, all_cosines, count),
    )


def _nearest(tokenizer: Any, cosines: torch.Tensor, count: int) -> tuple[Neighbour, ...]:
    """The nearest words, each once: a vocabulary has some both within and at the end of words."""
    found: dict[str, float] = {}
    special = set(tokenizer.all_special_ids)
    for number in cosines.argsort(descending=True).tolist():
        if number in special:
            continue
        word = tokenizer.decode([number]).strip()
        if word:
            found.setdefault(word, float(cosines[number]))
        if len(found) == count:
            break
    return tuple(Neighbour(word, cosine) for word, cosine in found.items())
