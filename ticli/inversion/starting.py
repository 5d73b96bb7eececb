"""Where a word's vectors start: at words, at what the encoder makes of them, at another word."""

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
class Start:
    """Where vectors start: words, "random", "mean", or another concept's `embedding`.

    `init_from` is "table" or "output". `photos` counts the private words to make, `negative` the
    negative twin's vectors; `norm_pull` belongs to the norm "pull".
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
    """The word's rows in one encoder before any norm is held, (vectors, width) float32.

    Raises Usage where the words do not fit the vectors.
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
        return _random_rows(encoder, start)
    if start.text == "mean":
        return encoder.table.float().mean(0, keepdim=True).repeat(start.vectors, 1)
    values = word_rows(encoder, start.text)
    if start.init_from == "output":
        values = _encoded(model, encoder, values)
    return spread(values, start.vectors, start.text)


def class_rows(model: Model, phrase: str, vectors: int) -> dict[str, torch.Tensor]:
    """The class word's rows of the vocabulary by encoder, in the slots of a word's vectors.

    As many of a longer phrase's tokens as there are vectors; their mean for one.
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
        raise Usage(
            f"init {text!r} has {len(values)} vectors, and the word only {vectors}",
            f"use --vectors {len(values)}, or --vectors 1 for their mean",
        )
    return values[torch.arange(vectors) % len(values)]


def _encoded(model: Model, encoder: TextEncoder, values: torch.Tensor) -> torch.Tensor:
    """What the encoder gives out where the words go in (Cross Initialization, 2312.15905).

    Raises Usage where that is no vector of the vocabulary's width.
    """
    prompt = model.tokenise("<init>", {"init": len(values)})[encoder.key]
    with torch.no_grad():
        hidden = encoder.hidden([prompt], {"init": {encoder.key: values}})[0].float()
    if hidden.shape[1] != values.shape[1]:
        raise Usage(
            f"{encoder.key} reads vectors of {values.shape[1]} numbers and gives out "
            f"{hidden.shape[1]}, so a word cannot start from its output",
            "use --init-from table",
        )
    return hidden[[slot.position for slot in prompt.slots]]


def _random_rows(encoder: TextEncoder, start: Start) -> torch.Tensor:
    """Normal vectors with the vocabulary's mean and standard deviation in each dimension."""
    generator = keyed_generator(start.seed, "init", encoder.key)
    table = encoder.table.float()
    normal = torch.randn(start.vectors, table.shape[1], generator=generator)
    return table.mean(0).cpu() + table.std(0).cpu() * normal
