"""A denoiser's blocks, computed again in the backward pass, their weights fetched when needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

Fetch = Callable[[torch.Tensor], torch.Tensor]

# The lists of blocks in diffusers' denoisers; of a list within another, only the inner counts.
LISTS = ("resnets", "downsamplers", "upsamplers", "transformer_blocks", "single_transformer_blocks")


class Bare(torch.nn.Module):
    """A block by its own kind's forward pass, whatever now stands in that one's place."""

    def __init__(self, unit: torch.nn.Module) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return type(self.unit).forward(self.unit, *args, **kwargs)


def units_of(denoiser: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The blocks of a denoiser, in its own order."""
    for name, module in denoiser.named_modules():
        if name.rpartition(".")[2] in LISTS and isinstance(module, torch.nn.ModuleList):
            yield from module


def compute_twice(denoiser: torch.nn.Module, fetch: Fetch | None = None) -> None:
    """Keep nothing of a block but what goes into it, and compute the rest again when it is needed.

    Gradient checkpointing (1604.06174). With a `fetch` every weight of a block is fetched by it
    for each of the two passes: as nothing of the first one is kept, neither are the weights that
    were fetched, which a graph would else hold to the end.
    """
    for unit in units_of(denoiser):
        # As an attribute of the instance it is called in place of the class's own.
        unit.forward = _twice(Bare(unit), fetch)


def keep_away(denoiser: torch.nn.Module, device: torch.device) -> None:
    """Leave the weights of blocks on the CPU and move all others to a device."""
    away = {id(tensor) for unit in units_of(denoiser) for tensor in _tensors(unit).values()}
    for tensor in _tensors(denoiser).values():
        if id(tensor) not in away:
            tensor.data = tensor.data.to(device)
            continue
        tensor.data = tensor.data.to("cpu")
        if device.type == "cuda":
            # From pinned memory weights are copied while the last block is still at work.
            tensor.data = tensor.data.pin_memory()


def _twice(bare: Bare, fetch: Fetch | None) -> Callable[..., Any]:
    def whole(*args: Any, **kwargs: Any) -> Any:
        if fetch is None:
            return bare(*args, **kwargs)
        return functional_call(bare, {n: fetch(t) for n, t in _tensors(bare).items()}, args, kwargs)

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return whole(*args, **kwargs)
        # Frozen models in evaluation mode draw nothing, so no generator's state is to be kept.
        return checkpoint(whole, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return forward


def _tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}
