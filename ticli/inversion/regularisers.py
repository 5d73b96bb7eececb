"""What draws a word back while it learns: its start, and the context of the class word."""

from __future__ import annotations

from ticli.inversion.vectors import Vectors
from ticli.recipe import Recipe


def regularise(vectors: Vectors, recipe: Recipe) -> None:
    """Add the gradients of the recipe's regularisers to those of the loss."""
    if recipe.pull:
        _pull(vectors, recipe.pull)


def _pull(vectors: Vectors, weight: float) -> None:
    """Gradient of weight · |v − v₀|², the mean over the vectors (2208.01618, section 4)."""
    for key, row in vectors.rows.items():
        gradient = 2 * weight / len(row) * (row.detach() - vectors.start[key])
        row.grad = gradient if row.grad is None else row.grad + gradient
