"""Ways to run a denoiser in less memory: checkpointing, offloading, 8 bits, sliced attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from ticli.models.memory_ladder import Savings

Fetch = Callable[[Tensor], Tensor]

# The lists of blocks in diffusers' denoisers. Where one contains another, the inner one counts.
LISTS = ("resnets", "downsamplers", "upsamplers", "transformer_blocks", "single_transformer_blocks")


class Bare(torch.nn.Module):
    """A block that calls its class's forward pass, even if the instance's was replaced."""

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
    """Keep only the inputs of each block, and compute the rest again in the backward pass.

    This is gradient checkpointing (1604.06174). `fetch` brings each weight of a block to the
    device, once for each of the two passes, so that the graph does not hold the fetched weights.
    """
    for unit in units_of(denoiser):
        # An attribute of the instance takes precedence over the method of the class.
        unit.forward = partial(_recomputed, partial(_called, Bare(unit), fetch))


def _called(bare: Bare, fetch: Fetch | None, /, *args: Any, **kwargs: Any) -> Any:
    if fetch is None:
        return bare(*args, **kwargs)
    return functional_call(bare, {n: fetch(t) for n, t in _tensors(bare).items()}, args, kwargs)


def _recomputed(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return function(*args, **kwargs)
    # Frozen models in evaluation mode use no randomness, so no generator state is kept.
    return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)


def keep_away(denoiser: torch.nn.Module, device: torch.device) -> None:
    """Leave the weights of blocks on the CPU and move all other weights to a device."""
    away = {id(tensor) for unit in units_of(denoiser) for tensor in _tensors(unit).values()}
    for tensor in _tensors(denoiser).values():
        if id(tensor) not in away:
            tensor.data = tensor.data.to(device)
            continue
        tensor.data = tensor.data.to("cpu")
        if device.type == "cuda":
            # Pinned memory can be copied while the previous block is still computing.
            tensor.data = tensor.data.pin_memory()


def _tensors(module: torch.nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


class _Product(torch.autograd.Function):
    """x·Wᵀ for a W kept in 8 bits. W is widened for the product; the graph never holds it wide."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor) -> Any:
        ctx.save_for_backward(weight, scale)
        return x @ _widened(weight, scale, x.dtype).t()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        weight, scale = ctx.saved_tensors
        (gradient,) = gradients
        return gradient @ _widened(weight, scale, gradient.dtype), None, None


class EightBitLinear(torch.nn.Module):
    """A frozen linear layer; the weights of each output are 8-bit numbers times one scale.

    The scale is the largest weight divided by 127, so the error of a weight is at most half of it
    (LLM.int8's vector-wise rounding, 2208.07339, without its outliers).

    Our own code, because no library that `ti` already needs does this on CPU, MPS and CUDA: torch's
    8-bit products (2.13) have no gradient, diffusers' layerwise casting (0.42) keeps the widened
    weights in the graph, and torchao, bitsandbytes and optimum-quanto would be new dependencies.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        exact = linear.weight.detach().float()
        scale = exact.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
        self.register_buffer("weight", (exact / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = _Product.apply(x, self.weight, self.scale)  # type: ignore[no-untyped-call]
        return found if self.bias is None else found + self.bias


def keep_in_eight_bits(denoiser: torch.nn.Module) -> int:
    """Replace the linear layers in a denoiser's blocks, once; return how many were replaced."""
    count = 0
    for unit in units_of(denoiser):
        for module in list(unit.modules()):
            for name, child in list(module.named_children()):
                if type(child) is torch.nn.Linear:
                    setattr(module, name, EightBitLinear(child))
                    count += 1
    return count


def _widened(weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    return (weight * scale).to(dtype)


# How many numbers of an attention map are held at once: 2²⁴ are 64 MiB in float32.
SLICE = 1 << 24


class SlicedAttention:
    """softmax(Q·Kᵀ/√d)·V by heads and rows of Q; each slice is computed again for its gradient.

    A processor for diffusers' Attention without a norm or residual of its own. It is for MPS, where
    PyTorch's attention holds the whole map when it needs a gradient. On CUDA and the CPU the fused
    kernels hold none: a step over 4096 tokens and 8 heads takes 32 MiB on a CPU instead of 1561 MiB
    (torch 2.13).
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Any:
        """Attend from (batch, length, width) to another sequence, or to itself."""
        if attention_mask is not None:
            raise TypeError("sliced attention takes no mask")
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = _by_head(attn.to_q(hidden_states), attn.heads)
        key, value = (_by_head(part(source), attn.heads) for part in (attn.to_k, attn.to_v))
        rows = max(1, min(SLICE // key.shape[1], query.shape[1]))
        heads = max(1, SLICE // (rows * key.shape[1]))
        slices = []
        for first in range(0, len(query), heads):
            own = slice(first, first + heads)
            parts = [
                _recomputed(_attend, query[own, row : row + rows], key[own], value[own], attn.scale)
                for row in range(0, query.shape[1], rows)
            ]
            slices.append(torch.cat(parts, dim=1))
        found = torch.cat(slices)
        batch = hidden_states.shape[0]
        found = found.reshape(batch, attn.heads, *found.shape[1:]).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](found))


def _can_be_sliced(denoiser: Any) -> bool:
    """Whether a denoiser is a U-Net: transformers use masks or norms in their attention."""
    from diffusers import UNet2DConditionModel

    return isinstance(denoiser, UNet2DConditionModel)


def _is_plain(attn: Any) -> bool:
    """Whether an attention is only projections around the map, without a norm of its own."""
    absent = ("group_norm", "spatial_norm", "norm_q", "norm_k", "norm_cross", "add_k_proj")
    return (
        type(attn).__name__ == "Attention"
        and not any(getattr(attn, name, None) for name in absent)
        and not attn.residual_connection
        and attn.rescale_output_factor == 1
        and not attn.upcast_attention
        and not attn.upcast_softmax
    )


def _attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    return torch.softmax(torch.bmm(q * scale, k.transpose(1, 2)), dim=-1) @ v


def _by_head(sequence: Tensor, heads: int) -> Tensor:
    """(batch, length, width) as (batch · heads, length, width / heads)."""
    batch, length, width = sequence.shape
    split = sequence.view(batch, length, heads, width // heads).transpose(1, 2)
    return split.reshape(batch * heads, length, width // heads)


def possible_savings(denoiser: Any, device: torch.device) -> frozenset[str]:
    """The rungs of the ladder that save memory for a denoiser on a device."""
    possible = {"cut"}
    if next(units_of(denoiser), None) is not None:
        possible |= {"checkpoint", "eight_bit"}
        # Fetching from the CPU to the CPU would free nothing.
        possible |= {"offload"} if device.type != "cpu" else set()
    if _can_be_sliced(denoiser):
        possible.add("slices")
    return frozenset(possible)


def place_sparingly(denoiser: Any, savings: Savings, device: torch.device) -> Any:
    """Put a denoiser on its device as a stage of the ladder demands.

    It may be there already at an earlier stage. 8-bit weights cannot be undone; the other savings
    leave the weights as they are.
    """
    if savings.eight_bit:
        # On a full device there is no room for both forms of a layer's weights.
        denoiser = denoiser.to("cpu")
        keep_in_eight_bits(denoiser)
    if savings.slices and _can_be_sliced(denoiser):
        for module in denoiser.modules():
            if hasattr(module, "set_processor") and _is_plain(module):
                module.set_processor(SlicedAttention())
    if savings.offload:
        # The graph must keep nothing of a block, or it would keep every block's weights.
        compute_twice(denoiser, lambda tensor: tensor.to(device, non_blocking=True))
        keep_away(denoiser, device)
        return denoiser
    if savings.checkpoint:
        compute_twice(denoiser)
    return denoiser.to(device)
