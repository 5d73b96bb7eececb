"""The figures of a score: means and shares of cosines between unit features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ticli.concept import Embedding
from ticli.models.model import Model, TextEncoder

# Names of figures and their values, as they stand in the JSON of a score.
Figures = dict[str, Any]
TEXT_KEYS = (
    *("text", "text_plain", "text_bare", "text_bare_plain", "scene_accuracy"),
    *("obedience", "obedience_bare"),
)
NEAREST = 5
# Vectors at a time: Gemma's table has 256 000, and a copy of it all would be large.
CHUNK = 8192


@dataclass(frozen=True)
class PictureFeatures:
    """Unit features of one concept's pictures, (pictures, width): plain ones, and each scene's."""

    plain: torch.Tensor
    scenes: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class SentenceFeatures:
    """Unit features of the scenes' sentences, (scenes, width): with the class word, and bare."""

    sentences: torch.Tensor
    bare: torch.Tensor


def image_figures(seen: PictureFeatures, photos: torch.Tensor) -> Figures:
    """How much pictures look like photos, (photos, width).

    `copied` is the share of plain pictures nearer to a photo than photos are to each other on
    average; None for a single photo.
    """
    plain = seen.plain @ photos.T
    nearest = nearest_among(photos)
    copied = None
    if nearest is not None:
        copied = float((plain.max(1).values > nearest.mean()).float().mean())
    scenes = torch.cat(seen.scenes)
    return {
        "image": float(plain.mean()),
        "image_in_scenes": float((scenes @ photos.T).mean()),
        "copied": copied,
    }


def text_figures(seen: PictureFeatures, texts: SentenceFeatures) -> Figures:
    """How much scene pictures show what their sentences ask for.

    `text` is the mean cosine T of scene pictures with their sentences, `text_plain` T0 that of the
    plain pictures with them; the `bare` ones are the same with sentences that have no subject.
    `scene_accuracy` is None for a single scene.
    """
    scenes = torch.cat(seen.scenes)
    own = torch.tensor([n for n, scene in enumerate(seen.scenes) for _ in scene])
    cosines = scenes @ texts.sentences.T
    found = cosines.argmax(1) == own
    return {
        "text": float(cosines.gather(1, own[:, None]).mean()),
        "text_plain": float((seen.plain @ texts.sentences.T).mean()),
        "text_bare": float((scenes @ texts.bare.T).gather(1, own[:, None]).mean()),
        "text_bare_plain": float((seen.plain @ texts.bare.T).mean()),
        "scene_accuracy": float(found.float().mean()) if len(seen.scenes) > 1 else None,
    }


def obedience(concept: Mapping[str, Any], class_word: Mapping[str, Any]) -> Figures:
    """(T − T0) / (Tc − T0), Tc the class word's T: 1 obeys as well as it, 0 not at all.

    None if the class word's own pictures do not show the scenes either.
    """
    bare = way(concept["text_bare"], concept["text_bare_plain"], class_word["text_bare"])
    obeyed = way(concept["text"], concept["text_plain"], class_word["text"])
    return {"obedience": obeyed, "obedience_bare": bare}


def way(reached: float, start: float, goal: float | None) -> float | None:
    """The share of the way from start to goal; None if the goal is not above the start."""
    return (reached - start) / (goal - start) if goal is not None and goal > start else None


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


def places_of(model: Model, embedding: Embedding, count: int = NEAREST) -> dict[str, list[Figures]]:
    """Where each vector of a concept lies among the vocabulary's, by text encoder.

    `norm` is its L2 norm, `ratio` that over the vocabulary's median `vocabulary`, `larger` the
    share of the vocabulary with a smaller norm, `nearest` the words with the largest cosines.
    """
    places = {}
    for encoder in model.encoders:
        if encoder.key in embedding.rows:
            rows = torch.from_numpy(embedding.rows[encoder.key].copy())
            places[encoder.key] = [_place(encoder, row, count) for row in rows]
    return places


def _place(encoder: TextEncoder, vector: torch.Tensor, count: int) -> Figures:
    table = encoder.table.detach()
    norms, cosines = [], []
    unit = torch.nn.functional.normalize(vector.float(), dim=0)
    for rows in torch.split(table, CHUNK):
        part = rows.float().cpu()
        norms.append(part.norm(dim=1))
        cosines.append(part @ unit / norms[-1].clamp_min(1e-12))
    lengths, all_cosines = torch.cat(norms), torch.cat(cosines)
    norm, median = float(vector.float().norm()), float(lengths.median())
    return {
        "norm": norm,
        "vocabulary": median,
        "ratio": norm / median,
        "larger": float((lengths < norm).float().mean()),
        "nearest": _nearest(encoder.tokenizer, all_cosines, count),
    }


def _nearest(tokenizer: Any, cosines: torch.Tensor, count: int) -> Sequence[Figures]:
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
    return [{"word": word, "cosine": cosine} for word, cosine in found.items()]
