"""Attention of a U-Net a slice at a time, for devices that would else hold the whole map."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

# Numbers of an attention map that are held at once: 2²⁴ are 64 MiB in float32.
SLICE = 1 << 24


class SlicedAttention:
    """softmax(Q·Kᵀ/√d)·V by heads and rows of Q, each slice computed again for its gradient.

    A processor for diffusers' Attention where that is plain: no norm and no residual of its own.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend from (batch, length, width) to another sequence, or to itself."""
        if attention_mask is not None:
            raise TypeError("attention in slices takes no mask")
        told = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = _by_head(attn.to_q(hidden_states), attn.heads)
        key, value = (_by_head(part(told), attn.heads) for part in (attn.to_k, attn.to_v))
        rows = max(1, min(SLICE // key.shape[1], query.shape[1]))
        heads = max(1, SLICE // (rows * key.shape[1]))
        slices = []
        for first in range(0, len(query), heads):
            own = slice(first, first + heads)
            parts = [
                _attend(query[own, row : row + rows], key[own], value[own], attn.scale)
                for row in range(0, query.shape[1], rows)
            ]
            slices.append(torch.cat(parts, dim=1))
        found = torch.cat(slices)
        batch = hidden_states.shape[0]
        found = found.reshape(batch, attn.heads, *found.shape[1:]).transpose(1, 2).flatten(2)
        answer: torch.Tensor = attn.to_out[1](attn.to_out[0](found))
        return answer


def attend_in_slices(denoiser: Any) -> None:
    """Have every plain attention of a U-Net work in slices; all others stay as they are."""
    if not can_be_sliced(denoiser):
        return
    for module in denoiser.modules():
        if hasattr(module, "set_processor") and _is_plain(module):
            module.set_processor(SlicedAttention())


def can_be_sliced(denoiser: Any) -> bool:
    """Whether a denoiser is a U-Net: transformers mask or normalise what they attend to."""
    from diffusers import UNet2DConditionModel

    return isinstance(denoiser, UNet2DConditionModel)


def _is_plain(attn: Any) -> bool:
    """Whether an attention is nothing but projections around the map, with no norm of its own."""
    absent = ("group_norm", "spatial_norm", "norm_q", "norm_k", "norm_cross", "add_k_proj")
    return (
        type(attn).__name__ == "Attention"
        and not any(getattr(attn, name, None) for name in absent)
        and not attn.residual_connection
        and attn.rescale_output_factor == 1
        and not attn.upcast_attention
        and not attn.upcast_softmax
    )


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    def slice_of(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return torch.softmax(torch.bmm(q * scale, k.transpose(1, 2)), dim=-1) @ v

    if not torch.is_grad_enabled():
        return slice_of(query, key, value)
    found: torch.Tensor = checkpoint(
        slice_of, query, key, value, use_reentrant=False, preserve_rng_state=False
    )
    return found


def _by_head(sequence: torch.Tensor, heads: int) -> torch.Tensor:
    """(batch, length, width) as (batch · heads, length, width / heads)."""
    batch, length, width = sequence.shape
    split = sequence.view(batch, length, heads, width // heads).transpose(1, 2)
    return split.reshape(batch * heads, length, width // heads)
