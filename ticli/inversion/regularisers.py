"""What draws a word back while it learns: its start, and the context of the class word."""

from __future__ import annotations

import torch

from ticli.inversion.context import context_distance
from ticli.inversion.draws import keyed_generator
from ticli.inversion.examples import Examples
from ticli.inversion.static_context import replayed
from ticli.inversion.vectors import Vectors
from ticli.models.model import Model
from ticli.recipe import Recipe


def regularise(
    model: Model, examples: Examples, vectors: Vectors, recipe: Recipe, key: tuple[int, int]
) -> None:
    """Add the gradients of the recipe's regularisers to those of the loss; key is (seed, step)."""
    if recipe.pull:
        _pull(vectors, recipe.pull)
    if examples.context is not None:
        numbers = torch.randint(
            len(examples.context.prompts),
            (recipe.batch * recipe.accumulate,),
            generator=keyed_generator(key[0], "context", key[1]),
        )
        if not replayed(model, examples.context, vectors.rows, numbers.tolist(), recipe.context):
            distance = context_distance(model, examples.context, vectors.rows, numbers.tolist())
            (recipe.context * distance).backward()  # type: ignore[no-untyped-call]


def _pull(vectors: Vectors, weight: float) -> None:
    """Gradient of weight · |v − v₀|², the mean over the vectors (2208.01618)."""
    for key, row in vectors.rows.items():
        gradient = 2 * weight / len(row) * (row.detach() - vectors.start[key])
        row.grad = gradient if row.grad is None else row.grad + gradient
