"""Frozen linear layers that keep their weights as 8-bit numbers, half of what bfloat16 takes."""

from __future__ import annotations

from typing import Any

import torch

from ticli.models.units import units_of

LARGEST = 127


class _Product(torch.autograd.Function):
    """x·Wᵀ for a W kept in 8 bits; it is widened for the product and never held in a graph."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor) -> Any:
        ctx.save_for_backward(weight, scale)
        return x @ _widened(weight, scale, x.dtype).t()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        weight, scale = ctx.saved_tensors
        (gradient,) = gradients
        return gradient @ _widened(weight, scale, gradient.dtype), None, None


class EightBitLinear(torch.nn.Module):
    """A frozen linear layer; each output's weights are whole numbers times a scale of their own.

    The scale is the largest of them by 127, so that every weight is off by at most half of it
    (LLM.int8's vector-wise rounding of weights, 2208.07339, without its outliers).

    Our own, because no library that `ti` needs anyway has it for CPU, MPS and CUDA: torch's 8-bit
    products (2.13) have no gradient; diffusers' layerwise casting (0.42) leaves the widened weights
    in the graph, beside the narrow ones, and MPS had no float8 yet in torch 2.7. torchao,
    bitsandbytes and optimum-quanto, which diffusers and transformers call, would be new needs.
    """

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        exact = linear.weight.detach().float()
        scale = exact.abs().amax(1, keepdim=True).clamp_min(1e-12) / LARGEST
        self.register_buffer("weight", (exact / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = _Product.apply(x, self.weight, self.scale)  # type: ignore[no-untyped-call]
        return found if self.bias is None else found + self.bias


def keep_in_eight_bits(denoiser: torch.nn.Module) -> int:
    """Replace the linear layers of a denoiser's blocks; return how many there were.

    Those outside of blocks are few, and stay. Nothing is left to do the second time.
    """
    count = 0
    for unit in units_of(denoiser):
        for module in list(unit.modules()):
            for name, child in list(module.named_children()):
                if type(child) is torch.nn.Linear:
                    setattr(module, name, EightBitLinear(child))
                    count += 1
    return count


def _widened(weight: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return (weight * scale).to(dtype)
