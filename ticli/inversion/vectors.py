"""The trainable rows: where they start, how they move, and the norm they keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from ticli.errors import Usage
from ticli.inversion.draws import keyed_generator
from ticli.models.model import Model, TextEncoder
from ticli.names import private_name, twin_name
from ticli.recipe import Recipe, more_than_room

if TYPE_CHECKING:
    from ticli.concept import Embedding


@dataclass(frozen=True)
class Start:
    """Where vectors start: words, "random", "mean", or another concept's `embedding`.

    `init_from` is "table" or "output". `photos` is the number of photos' own words, `negative` that
    of the negative twin's vectors; `norm_pull` belongs to the norm "pull".
    """

    text: str
    vectors: int
    norm: str
    seed: int
    embedding: Embedding | None = None
    init_from: str = "table"
    photos: int = 0
    negative: int = 0
    norm_pull: float = 1.0


def starting_rows(model: Model, encoder: TextEncoder, start: Start) -> torch.Tensor:
    """The concept's rows in one encoder before any norm is held, (vectors, width) float32.

    Raises Usage if the words do not fit the vectors.
    """
    if start.init_from == "output" and (start.embedding or start.text in ("random", "mean")):
        raise Usage(
            f"an encoder's output is that of words, not of init {start.text!r}",
            "give --init WORD, or use --init-from table",
        )
    if start.embedding is not None:
        values = torch.from_numpy(start.embedding.rows[encoder.key].copy())
        return spread(values, start.vectors, start.text)
    if start.text == "random":
        return _random_rows(encoder, start.vectors, start.seed, "init")
    if start.text == "mean":
        return encoder.table.float().mean(0, keepdim=True).repeat(start.vectors, 1)
    values = word_rows(encoder, start.text)
    if start.init_from == "output":
        values = _encoded(model, encoder, values)
    return spread(values, start.vectors, start.text)


def class_rows(model: Model, phrase: str, vectors: int) -> dict[str, torch.Tensor]:
    """The class word's rows of the vocabulary by encoder, in the slots of a concept's vectors.

    Of a longer phrase, the first `vectors` tokens; the mean of all for one vector.
    """
    rows = {}
    for encoder in model.encoders:
        words = word_rows(encoder, phrase)[: vectors if vectors > 1 else None]
        rows[encoder.key] = spread(words, vectors, phrase)
    return rows


def word_rows(encoder: TextEncoder, text: str) -> torch.Tensor:
    """The vocabulary's vectors of some words, (tokens, width) float32. Raises Usage if empty."""
    ids = encoder.tokenizer(text, add_special_tokens=False).input_ids
    if not ids:
        raise Usage(f"init word {text!r} is empty", "give a word, random or mean")
    return encoder.table[torch.tensor(ids)].float()


def spread(values: torch.Tensor, vectors: int, text: str) -> torch.Tensor:
    """Fit k starting vectors into n: their mean into one, else in order, then repeated."""
    if vectors == 1:
        return values.mean(0, keepdim=True)
    if len(values) > vectors:
        raise more_than_room(text, len(values), vectors)
    return values[torch.arange(vectors) % len(values)]


def _encoded(model: Model, encoder: TextEncoder, values: torch.Tensor) -> torch.Tensor:
    """The encoder's outputs where the words go in (Cross Initialization, 2312.15905).

    Raises Usage if they do not have the vocabulary's width.
    """
    prompt = model.tokenise("<init>", {"init": len(values)})[encoder.key]
    with torch.no_grad():
        encoding = encoder.encode([prompt], {"init": {encoder.key: values}})
        hidden = encoding.hidden[0].float()
    if hidden.shape[1] != values.shape[1]:
        raise Usage(
            f"{encoder.key} reads vectors of {values.shape[1]} numbers and gives out "
            f"{hidden.shape[1]}, so a concept cannot start from its output",
            "use --init-from table",
        )
    return hidden[[slot.position for slot in prompt.slots]]


def _random_rows(encoder: TextEncoder, count: int, seed: int, key: str) -> torch.Tensor:
    """Normal vectors with the vocabulary's mean and standard deviation in each dimension."""
    generator = keyed_generator(seed, key, encoder.key)
    table = encoder.table.float()
    normal = torch.randn(count, table.shape[1], generator=generator)
    return table.mean(0).cpu() + table.std(0).cpu() * normal


Rows = dict[str, torch.nn.Parameter]

# With these norms the rows stand at the vocabulary's from the start.
HELD = ("vocabulary", "sphere")
# These follow the encoder's key in the names of rows that are not the concept's own.
PRIVATE, NEGATIVE = ".private", ".negative"


@dataclass(frozen=True)
class Vectors:
    """Float32 parameters by encoder: `rows` (vectors, width) are the concept.

    `private` (photos, width) is a word for each photo, and `negative` (vectors, width) the
    concept's negative twin; both are empty if a recipe asks for none. `start` holds the rows before
    the first step. Each step goes `pull_share` of the way to the `held_norms`.

    Nothing else is trained, so no row of the vocabulary needs restoring, and gradient clipping sees
    these rows alone.
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
        """The rows by placeholder: the concept, its twin, and the photos' own words."""
        words: dict[str, Mapping[str, torch.Tensor]] = {concept: self.rows}
        if self.negative:
            words[twin_name(concept)] = self.negative
        photos = max((row.shape[0] for row in self.private.values()), default=0)
        for photo in range(photos):
            own = {key: row[photo : photo + 1] for key, row in self.private.items()}
            words[private_name(concept, photo)] = own
        return words

    def at(self, values: Mapping[str, torch.Tensor]) -> Vectors:
        """A copy with other values, by the names of `parameters`, that is not trained.

        Held norms are held here too.
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
        """The same rows, but with the photos' own words of another."""
        return replace(self, private=other.private)

    def norms(self) -> dict[str, list[float]]:
        """L2 norm of each of the concept's vectors, by encoder."""
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
        """Undo the loss's factor; rows in no sentence of the step get a gradient of zero."""
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
    """Make the trainable rows of a run. Raises Usage if the words do not fit the vectors."""
    rows, private, negative, held = {}, {}, {}, {}
    for encoder in model.encoders:
        rows[encoder.key] = _parameter(model, starting_rows(model, encoder, start))
        if start.photos:
            own = _random_rows(encoder, start.photos, start.seed, "private")
            private[encoder.key] = _parameter(model, own)
        if start.negative:
            # A prompt of end tokens alone says as little as an empty prompt.
            end = encoder.table[encoder.tokenizer.eos_token_id].float()
            negative[encoder.key] = _parameter(model, end[None].repeat(start.negative, 1))
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


def move(vectors: Vectors, optimizer: torch.optim.Optimizer, recipe: Recipe) -> None:
    """Move every row by its gradient at the optimiser's rate: along a sphere, or by AdamW."""
    if recipe.norm == "sphere":
        _move_along_the_sphere(vectors, optimizer, recipe.prior)
    else:
        optimizer.step()
        vectors.hold()


def _move_along_the_sphere(
    vectors: Vectors, optimizer: torch.optim.Optimizer, prior: float
) -> None:
    """Turn each vector by `lr` radians against its gradient (2512.13672).

    With e = m·v, m the held norm: the gradient of v is m·∂L/∂e − κ·μ, of which the part along
    the sphere, brought to length one, is the way to go. μ is the direction a vector started in;
    rows that start from no word have no such prior, and a row without gradient stays.
    """
    rate = float(optimizer.param_groups[0]["lr"])
    with torch.no_grad():
        for name, row in vectors.parameters().items():
            if row.grad is None:
                continue
            norm = vectors.held_norms[encoder_of(name)]
            v = torch.nn.functional.normalize(row, dim=1)
            gradient = norm * row.grad
            if prior and name in vectors.start:
                mu = torch.nn.functional.normalize(vectors.start[name], dim=1)
                gradient = gradient - prior * mu
            tangent = gradient - (gradient * v).sum(1, keepdim=True) * v
            turned = v - rate * torch.nn.functional.normalize(tangent, dim=1, eps=1e-30)
            turned = norm * torch.nn.functional.normalize(turned, dim=1)
            row.copy_(torch.where(row.grad.norm(dim=1, keepdim=True) > 0, turned, row))
