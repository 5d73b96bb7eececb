"""How many words learn at a time on a device."""

from __future__ import annotations

from ticli.models.demand import Demand, measure_demand
from ticli.models.hardware import Hardware
from ticli.models.identifying import ModelSource
from ticli.models.memory import free_memory
from ticli.models.savings import LOW, NONE, Savings

# With more, a step takes in proportion longer and nothing is won: measured on the starter.
MOST, MOST_ON_CUDA = 4, 16


def seats(source: ModelSource, hardware: Hardware, load: tuple[int, int], words: int) -> int:
    """How many of the words learn at a time: as many as fit into memory, to a limit.

    `load` is the pixels a side of a word's pictures, and how many are in its batch.
    """
    size, batch = load
    most = min(words, MOST_ON_CUDA if hardware.device.type == "cuda" else MOST)
    free = free_memory(hardware.device)
    if most == 1 or free is None:
        return most
    demand = measure_demand(source, hardware.dtype, size, hardware.device)
    return fitting(demand, batch, LOW if hardware.low_memory else NONE, (most, free))


def fitting(demand: Demand, batch: int, stage: Savings, limits: tuple[int, int]) -> int:
    """How many words' batches fit side by side; `limits` are the most of them, and free bytes."""
    most, free = limits
    counts = (count for count in range(most, 1, -1) if demand.need(stage, batch * count) <= free)
    return next(counts, 1)
