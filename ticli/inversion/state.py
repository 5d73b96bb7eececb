"""What changes while a word is learned."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ticli.errors import Diverged
from ticli.inversion.snapshots import Snapshot, put_back, take
from ticli.inversion.stopping import Evaluation
from ticli.inversion.vectors import Vectors
from ticli.recipe import Recipe


@dataclass
class TrainingState:
    """What changes while a word is learned: all that a checkpoint holds.

    `unusable` counts steps in a row without a finite gradient, `cooling` is the step from which
    the rate falls to zero, `best` the evaluation to keep with its rows by name.
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

    def mark_good(self) -> None:
        """Remember the present vectors and optimiser as what a diverging run goes back to."""
        self.good = take(self.vectors, self.optimizer)

    def go_back(self, recipe: Recipe, found: str) -> None:
        """Return to the last good vectors and halve the rate; the steps taken stay counted.

        Raises Diverged, with what was `found`, where the recipe allows no more of this.
        """
        if self.good is None or self.restores >= recipe.restores:
            raise Diverged(
                f"training diverged at step {self.step}: {found}, after {self.restores} returns "
                "to a good state at half the rate",
                "use a lower --lr, or --dtype fp32",
            )
        put_back(self.good, self.vectors, self.optimizer)
        self.restores += 1
        self.rate_scale /= 2
        self.unusable = 0


def new_state(vectors: Vectors, recipe: Recipe) -> TrainingState:
    """A state before its first step. AdamW has no weight decay: it would pull v* to zero."""
    optimizer = torch.optim.AdamW(
        list(vectors.parameters().values()), lr=recipe.lr, weight_decay=0.0, foreach=False
    )
    return TrainingState(vectors, optimizer)
