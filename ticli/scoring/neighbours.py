"""Where a word lies among the words of the vocabulary: its norms, and the words nearest to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ticli.concept import Embedding
from ticli.models.model import Model, TextEncoder

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
