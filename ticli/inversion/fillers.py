"""Words that have ended and stay in the batch, where another shape would have to be recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ticli.inversion.batches import Learner
from ticli.models.model import Model

# Steps that recording one takes: a plain one, those that warm up, the capture itself.
RECORDING = 8.0


@dataclass
class Fillers:
    """Learners whose gradients go nowhere, so that a recorded step can still be replayed.

    They are let go once they have cost as much as recording the smaller batch does: then no order
    of endings costs more than twice what it has to. `size` is the batch's in words, `wasted` what
    the fillers have cost since the last recording, in steps.
    """

    left: list[Learner] = field(default_factory=list)
    size: int = 0
    wasted: float = 0.0

    def beside(self, model: Model, going: Sequence[Learner]) -> list[Learner]:
        """Who fills the batch up beside the words that are going; nobody where none is recorded."""
        if model.replayer is None or model.replayer.broken:
            self.left.clear()
            return []
        # A seat that was taken again needs no filler.
        del self.left[max(0, self.size - len(going)) :]
        self.wasted += len(self.left) / (len(going) + len(self.left))
        if self.wasted > RECORDING:
            self.left.clear()
            self.wasted = 0.0
        self.size = len(going) + len(self.left)
        return list(self.left)
