"""Making a denoiser need less memory, as a stage of the ladder says."""

from __future__ import annotations

from typing import Any

import torch

from ticli.models.eight_bit import keep_in_eight_bits
from ticli.models.savings import Savings
from ticli.models.slicing import attend_in_slices, can_be_sliced
from ticli.models.units import compute_twice, keep_away, units_of


def possible_savings(denoiser: Any, device: torch.device) -> frozenset[str]:
    """The rungs of the ladder that do something for a denoiser on a device."""
    possible = {"cut"}
    if next(units_of(denoiser), None) is not None:
        possible |= {"checkpoint", "eight_bit"}
        # What is fetched to the CPU from the CPU frees nothing.
        possible |= {"offload"} if device.type != "cpu" else set()
    if can_be_sliced(denoiser):
        possible.add("slices")
    return frozenset(possible)


def place_sparingly(denoiser: Any, savings: Savings, device: torch.device) -> Any:
    """Put a denoiser on its device as a stage says; it may be there already, with less given up.

    What is kept in 8 bits is changed for good; the rest of a stage leaves the weights as they are.
    """
    if savings.eight_bit:
        # Where memory is full there is no room for two of a layer's weights.
        denoiser = denoiser.to("cpu")
        keep_in_eight_bits(denoiser)
    if savings.slices:
        attend_in_slices(denoiser)
    if savings.offload:
        # Nothing of it may be kept in a graph, or every block's weights would be.
        compute_twice(denoiser, lambda tensor: tensor.to(device, non_blocking=True))
        keep_away(denoiser, device)
        return denoiser
    if savings.checkpoint:
        compute_twice(denoiser)
    return denoiser.to(device)
