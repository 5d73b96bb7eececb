"""The ladder of what a run gives up to save memory, from nothing to everything. No torch here."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Savings:
    """What is done to save memory; by default nothing.

    `samples` is how many pictures go through the denoiser together, 0 for the whole batch. `cut`
    runs the text encoders without a graph and moves them off the device. `checkpoint` computes
    activations twice, `slices` computes attention in parts, `offload` fetches the denoiser's blocks
    one by one, `eight_bit` keeps weights as 8-bit numbers.
    """

    samples: int = 0
    cut: bool = False
    checkpoint: bool = False
    slices: bool = False
    offload: bool = False
    eight_bit: bool = False


NONE = Savings()
# In the order they are tried: first what costs the least time, last what costs accuracy.
SAID = {
    "cut": "text encoders leave the device while the denoiser works",
    "checkpoint": "activations are computed twice instead of kept",
    "slices": "attention in slices",
    "offload": "the denoiser's blocks are fetched one by one",
    "eight_bit": "8-bit weights in the denoiser",
}
RUNGS = tuple(SAID)
# Where `--low-memory` starts: a card of 4 to 6 GB holds one picture's activations at most.
LOW = Savings(samples=1, cut=True, checkpoint=True, slices=True)


def ladder(batch: int, possible: Collection[str] = RUNGS) -> Iterator[Savings]:
    """Every stage for a batch of samples; each gives up more than the one before."""
    stage: Savings | None = NONE
    while stage is not None:
        yield stage
        stage = below(stage, batch, possible)


def below(stage: Savings, batch: int, possible: Collection[str] = RUNGS) -> Savings | None:
    """The next stage down the ladder for a batch of samples; None at the end."""
    samples = min(stage.samples or batch, batch)
    if samples > 1:
        return replace(stage, samples=(samples + 1) // 2)
    for name in RUNGS:
        if name in possible and not getattr(stage, name):
            return replace(stage, samples=1, **{name: True})
    return None


def both(first: Savings, second: Savings) -> Savings:
    """Everything that either stage gives up."""
    counts = [stage.samples for stage in (first, second) if stage.samples]
    flags = {name: getattr(first, name) or getattr(second, name) for name in RUNGS}
    return Savings(samples=min(counts, default=0), **flags)


def said(stage: Savings, before: Savings = NONE) -> str:
    """What a stage gives up and the one before did not, in words."""
    parts = [SAID[name] for name in RUNGS if getattr(stage, name) and not getattr(before, name)]
    if stage.samples and stage.samples != before.samples:
        pictures = "one picture" if stage.samples == 1 else f"{stage.samples} pictures"
        parts.insert(0, f"{pictures} at a time, the same batch in all")
    return "; ".join(parts) or "nothing more"
