"""The trainable rows: where they start, and the norm they are held at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ticli.errors import Usage
from ticli.inversion.draws import keyed_generator
from ticli.models.model import Model, TextEncoder

if TYPE_CHECKING:
    from ticli.concept import Embedding


@dataclass(frozen=True)
class Vectors:
    """One float32 parameter (vectors, width) for each encoder, and the norm to hold, if any.

    The vocabulary table is no part of it: nothing but these rows is ever trained, so no other
    row needs restoring and gradient clipping sees these rows alone.
    """

    rows: dict[str, torch.nn.Parameter]
    held_norms: dict[str, float]

    def norms(self) -> dict[str, list[float]]:
        """L2 norm of each vector, by encoder."""
        return {key: row.detach().norm(dim=1).tolist() for key, row in self.rows.items()}

    def hold(self) -> None:
        """Rescale every vector to the held norm, where one is held."""
        with torch.no_grad():
            for key, norm in self.held_norms.items():
                row = self.rows[key]
                row.mul_(norm / row.norm(dim=1, keepdim=True).clamp_min(1e-12))

    def finite(self) -> bool:
        return all(bool(row.isfinite().all()) for row in self.rows.values())


@dataclass(frozen=True)
class Start:
    """Where vectors start: words, "random", "mean", or another concept's `embedding`."""

    text: str
    vectors: int
    norm: str
    seed: int
    embedding: Embedding | None = None


def start_vectors(model: Model, start: Start) -> Vectors:
    """Make the trainable rows of a run. Raises Usage where the words do not fit the vectors."""
    rows, held = {}, {}
    for encoder in model.encoders:
        if start.embedding is not None:
            values = torch.from_numpy(start.embedding.rows[encoder.key].copy())
            values = _spread(values, start.vectors, start.text)
        elif start.text == "random":
            values = _random_rows(encoder, start)
        elif start.text == "mean":
            values = encoder.table.float().mean(0, keepdim=True).repeat(start.vectors, 1)
        else:
            values = _word_rows(encoder, start)
        rows[encoder.key] = torch.nn.Parameter(values.to(model.device, torch.float32).clone())
        if start.norm == "vocabulary":
            held[encoder.key] = vocabulary_norm(encoder)
    vectors = Vectors(rows, held)
    vectors.hold()
    return vectors


def vocabulary_norm(encoder: TextEncoder) -> float:
    """Median L2 norm of the vocabulary's vectors."""
    return float(encoder.table.float().norm(dim=1).median())


def _word_rows(encoder: TextEncoder, start: Start) -> torch.Tensor:
    ids = encoder.tokenizer(start.text, add_special_tokens=False).input_ids
    if not ids:
        raise Usage(f"init word {start.text!r} is empty", "give a word, random or mean")
    return _spread(encoder.table[torch.tensor(ids)].float(), start.vectors, start.text)


def _spread(values: torch.Tensor, vectors: int, text: str) -> torch.Tensor:
    """Fit k starting vectors into n: their mean into one, else in order, then repeated."""
    if vectors == 1:
        return values.mean(0, keepdim=True)
    if len(values) > vectors:
        raise Usage(
            f"init {text!r} has {len(values)} vectors, and the word only {vectors}",
            f"use --vectors {len(values)}, or --vectors 1 for their mean",
        )
    return values[torch.arange(vectors) % len(values)]


def _random_rows(encoder: TextEncoder, start: Start) -> torch.Tensor:
    """Normal vectors with the vocabulary's mean and standard deviation in each dimension."""
    generator = keyed_generator(start.seed, "init", encoder.key)
    table = encoder.table.float()
    normal = torch.randn(start.vectors, table.shape[1], generator=generator)
    return table.mean(0).cpu() + table.std(0).cpu() * normal
