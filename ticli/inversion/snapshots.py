"""Copies of what training changes: parameters and the optimiser's state, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ticli.inversion.vectors import Vectors

# Named as in Vectors.parameters(); the optimiser's tensors as "exp_avg.clip_l" and so on.
Snapshot = Mapping[str, torch.Tensor]
ROWS = "rows"
# The count of updates stays on the CPU unless the optimiser is fused, all else with its parameter.
COUNT = "step"


def take(vectors: Vectors, optimizer: Any) -> dict[str, torch.Tensor]:
    """Copy all parameters and the optimiser's state."""
    copies = {}
    for name, row in vectors.parameters().items():
        copies[f"{ROWS}.{name}"] = row.detach().clone()
        for kind, value in optimizer.state.get(row, {}).items():
            copies[f"{kind}.{name}"] = torch.as_tensor(value).detach().clone()
    return copies


def put_back(snapshot: Snapshot, vectors: Vectors, optimizer: Any) -> None:
    """Make parameters and the optimiser's state what they were when the copy was taken."""
    optimizer.state.clear()
    counts_here = not optimizer.defaults.get("fused")
    with torch.no_grad():
        for name, row in vectors.parameters().items():
            row.copy_(snapshot[f"{ROWS}.{name}"])
            state = {
                kind: value.clone()
                if kind == COUNT and counts_here
                else value.to(row.device, copy=True)
                for kind, value in _of(snapshot, name)
                if kind != ROWS
            }
            if state:
                optimizer.state[row] = state


def rows_of(vectors: Vectors) -> dict[str, torch.Tensor]:
    """Copy the parameters alone, by their names."""
    return {name: row.detach().clone() for name, row in vectors.parameters().items()}


def _of(snapshot: Snapshot, name: str) -> list[tuple[str, torch.Tensor]]:
    """The tensors of one parameter, by kind."""
    return [
        (kind, value)
        for kind, _, rest, value in ((*key.partition("."), v) for key, v in snapshot.items())
        if rest == name
    ]
