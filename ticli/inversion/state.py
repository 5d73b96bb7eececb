"""What changes while a concept is learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ticli.concept import Attempt
from ticli.errors import Diverged
from ticli.inversion.schedule import Evaluation
from ticli.inversion.vectors import Vectors
from ticli.recipe import Recipe

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
            state = {}
            for key, value in snapshot.items():
                kind, _, of = key.partition(".")
                if of == name and kind != ROWS:
                    here = kind == COUNT and counts_here
                    state[kind] = value.clone() if here else value.to(row.device, copy=True)
            if state:
                optimizer.state[row] = state


def rows_of(vectors: Vectors) -> dict[str, torch.Tensor]:
    """Copy the parameters alone, by their names."""
    return {name: row.detach().clone() for name, row in vectors.parameters().items()}


@dataclass
class TrainingState:
    """What changes while a concept is learned: all that a checkpoint holds.

    `unusable` counts steps in a row without a finite gradient, `cooling` is the step from which
    the rate falls to zero, `best` the evaluation to keep with its rows by name, `averages` the
    mean of the rows over the steps, empty where the recipe keeps none.
    """

    vectors: Vectors
    optimizer: torch.optim.AdamW
    step: int = 0
    losses: list[float] = field(default_factory=list)
    skipped: int = 0
    unusable: int = 0
    restores: int = 0
    rate_scale: float = 1.0
    cooling: int | None = None
    evaluations: list[Evaluation] = field(default_factory=list)
    good: Snapshot | None = None
    best: tuple[Evaluation, Snapshot] | None = None
    averages: Snapshot = field(default_factory=dict)

    @property
    def word(self) -> Vectors:
        """The vectors to judge and to keep: the mean over the steps if the recipe keeps one."""
        return self.vectors.at(self.averages) if self.averages else self.vectors

    def average(self, power: float) -> None:
        """Draw the mean over the steps towards the vectors, after a step that moved them.

        The weight of the t-th step is (γ + 1)/(t + γ), so that the mean reaches back over about
        t/γ steps, however long the run (Shamir & Zhang 2013, polynomial-decay averaging).
        """
        rows = rows_of(self.vectors)
        weight = (power + 1) / (self.step + power)
        self.averages = {
            name: torch.lerp(self.averages.get(name, row), row, weight)
            for name, row in rows.items()
        }

    def mark_good(self) -> None:
        """Remember the present vectors and optimiser as what a diverging run goes back to."""
        self.good = take(self.vectors, self.optimizer)

    def go_back(self, recipe: Recipe, found: str) -> None:
        """Return to the last good vectors and halve the rate; the steps taken stay counted.

        Raises Diverged, with what was `found`, if the recipe allows no more of this.
        """
        if self.good is None or self.restores >= recipe.restores:
            raise Diverged(
                f"training diverged at step {self.step}: {found}, after {self.restores} returns "
                "to a good state at half the rate",
                "use a lower --lr, or --dtype fp32",
            )
        put_back(self.good, self.vectors, self.optimizer)
        self.averages = {}
        self.restores += 1
        self.rate_scale /= 2
        self.unusable = 0


def new_state(vectors: Vectors, recipe: Recipe) -> TrainingState:
    """A state before its first step. AdamW has no weight decay: it would pull v* to zero.

    On CUDA it is one kernel for all rows, where it would else be a dozen for each.
    """
    rows = list(vectors.parameters().values())
    fused = rows[0].device.type == "cuda"
    optimizer = torch.optim.AdamW(rows, lr=recipe.lr, weight_decay=0.0, foreach=False, fused=fused)
    return TrainingState(vectors, optimizer)


@dataclass(frozen=True)
class Finished:
    """What a restart that ended well keeps: its rows by name, and how it went."""

    attempt: Attempt
    kept: Evaluation
    rows: Snapshot
    evaluations: tuple[Evaluation, ...]
    losses: tuple[float, ...]
    skipped: int
    restores: int
