"""The trainable rows: the word's own, those that help it to be learned, and their norm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch

from ticli.inversion.draws import keyed_generator
from ticli.inversion.names import private_name, twin_name
from ticli.inversion.starting import Start, starting_rows
from ticli.models.model import Model, TextEncoder

Rows = dict[str, torch.nn.Parameter]

# Norms at which the rows stand from the start; the others keep the norm they start with.
HELD = ("vocabulary", "sphere")
# What follows the encoder's key in the names of rows that are not the word's own.
PRIVATE, NEGATIVE = ".private", ".negative"


@dataclass(frozen=True)
class Vectors:
    """Float32 parameters by encoder: `rows` (vectors, width) are the word.

    `private` (photos, width) is a word of its own for each photo and `negative` (vectors, width)
    the word's negative twin; both are empty where a recipe asks for none. `start` holds the rows
    before the first step. Each step goes `pull_share` of the way to the `held_norms`.

    The vocabulary table is no part of it: nothing but these rows is ever trained, so no other
    row needs restoring and gradient clipping sees these rows alone.
    """

    rows: Rows
    held_norms: dict[str, float]
    pull_share: float = 1.0
    private: Rows = field(default_factory=dict)
    negative: Rows = field(default_factory=dict)
    start: dict[str, torch.Tensor] = field(default_factory=dict)

    def parameters(self) -> Rows:
        """Everything that is trained, by a name that begins with its encoder's key."""
        return {
            **self.rows,
            **{key + PRIVATE: row for key, row in self.private.items()},
            **{key + NEGATIVE: row for key, row in self.negative.items()},
        }

    def words(self, concept: str) -> dict[str, Mapping[str, torch.Tensor]]:
        """The rows by placeholder: the word, its twin, and every photo's own word."""
        words: dict[str, Mapping[str, torch.Tensor]] = {concept: self.rows}
        if self.negative:
            words[twin_name(concept)] = self.negative
        photos = max((row.shape[0] for row in self.private.values()), default=0)
        for photo in range(photos):
            own = {key: row[photo : photo + 1] for key, row in self.private.items()}
            words[private_name(concept, photo)] = own
        return words

    def at(self, values: Mapping[str, torch.Tensor]) -> Vectors:
        """The same words with other values, by the names of `parameters`; nothing trains them.

        Norms that are held are held here too.
        """
        fixed = {n: torch.nn.Parameter(v.clone(), requires_grad=False) for n, v in values.items()}
        moved = replace(
            self,
            rows={key: fixed[key] for key in self.rows},
            private={key: fixed[key + PRIVATE] for key in self.private},
            negative={key: fixed[key + NEGATIVE] for key in self.negative},
        )
        if self.pull_share == 1:
            moved.hold()
        return moved

    def beside(self, other: Vectors) -> Vectors:
        """The same words, but with the photos' own words as another has them."""
        return replace(self, private=other.private)

    def norms(self) -> dict[str, list[float]]:
        """L2 norm of each of the word's vectors, by encoder."""
        return {key: row.detach().norm(dim=1).tolist() for key, row in self.rows.items()}

    def hold(self) -> None:
        """Bring every vector to the held norm, or `pull_share` of the way there."""
        with torch.no_grad():
            for name, row in self.parameters().items():
                norm = self.held_norms.get(encoder_of(name))
                if norm is None:
                    continue
                own = row.norm(dim=1, keepdim=True)
                wanted = norm if self.pull_share == 1 else own + self.pull_share * (norm - own)
                row.mul_(wanted / own.clamp_min(1e-12))

    def finish_gradients(self, scale: float = 1.0) -> None:
        """Undo the loss's factor; rows that no sentence of a step named have no gradient: zero."""
        for row in self.parameters().values():
            if row.grad is None:
                row.grad = torch.zeros_like(row)
            elif scale != 1.0:
                row.grad.div_(scale)

    def finite(self) -> bool:
        return all(bool(row.isfinite().all()) for row in self.parameters().values())


def encoder_of(name: str) -> str:
    """The encoder's key in a name of Vectors.parameters()."""
    return name.split(".")[0]


def start_vectors(model: Model, start: Start) -> Vectors:
    """Make the trainable rows of a run. Raises Usage where the words do not fit the vectors."""
    rows, private, negative, held = {}, {}, {}, {}
    for encoder in model.encoders:
        rows[encoder.key] = _parameter(model, starting_rows(model, encoder, start))
        if start.photos:
            private[encoder.key] = _parameter(model, _private_rows(encoder, start))
        if start.negative:
            negative[encoder.key] = _parameter(model, _negative_rows(encoder, start.negative))
        if start.norm != "free":
            held[encoder.key] = vocabulary_norm(encoder)
    Vectors(rows, held if start.norm in HELD else {}, 1.0, private, negative).hold()
    return Vectors(
        rows,
        held,
        start.norm_pull if start.norm == "pull" else 1.0,
        private,
        negative,
        {key: row.detach().clone() for key, row in rows.items()},
    )


def vocabulary_norm(encoder: TextEncoder) -> float:
    """Median L2 norm of the vocabulary's vectors."""
    return float(encoder.table.float().norm(dim=1).median())


def _parameter(model: Model, values: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(values.to(model.device, torch.float32).clone())


def _private_rows(encoder: TextEncoder, start: Start) -> torch.Tensor:
    generator = keyed_generator(start.seed, "private", encoder.key)
    table = encoder.table.float()
    normal = torch.randn(start.photos, table.shape[1], generator=generator)
    return table.mean(0).cpu() + table.std(0).cpu() * normal


def _negative_rows(encoder: TextEncoder, vectors: int) -> torch.Tensor:
    """The end token's vector: a prompt of it alone says as little as an empty prompt."""
    row = encoder.table[encoder.tokenizer.eos_token_id].float()
    return row[None].repeat(vectors, 1)
