"""How one step moves the vectors: AdamW under a held, pulled or free norm, or along a sphere."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ticli.inversion.vectors import Vectors, encoder_of
from ticli.recipe import Recipe


def move(vectors: Vectors, optimizer: torch.optim.Optimizer, recipe: Recipe) -> None:
    """Move every row by its gradient, as the recipe's norm says, at the optimiser's rate."""
    _MOVES[recipe.norm](vectors, optimizer, recipe)


def _by_adam(vectors: Vectors, optimizer: torch.optim.Optimizer, _recipe: Recipe) -> None:
    optimizer.step()
    vectors.hold()


def _along_the_sphere(vectors: Vectors, optimizer: torch.optim.Optimizer, recipe: Recipe) -> None:
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
            if recipe.prior and name in vectors.start:
                mu = torch.nn.functional.normalize(vectors.start[name], dim=1)
                gradient = gradient - recipe.prior * mu
            tangent = gradient - (gradient * v).sum(1, keepdim=True) * v
            turned = v - rate * torch.nn.functional.normalize(tangent, dim=1, eps=1e-30)
            turned = norm * torch.nn.functional.normalize(turned, dim=1)
            row.copy_(torch.where(row.grad.norm(dim=1, keepdim=True) > 0, turned, row))


_MOVES: dict[str, Callable[[Vectors, torch.optim.Optimizer, Recipe], None]] = {
    "vocabulary": _by_adam,
    "free": _by_adam,
    "pull": _by_adam,
    "sphere": _along_the_sphere,
}
