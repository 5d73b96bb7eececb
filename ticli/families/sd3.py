"""Stable Diffusion 3 and 3.5: two CLIPs and a T5 in one sequence, a flow transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ticli.families.family import (
    FLOW,
    PATCH,
    Conditioning,
    Configuration,
    Details,
    EncoderPart,
    Encoding,
    Family,
    as_they_are,
    pooled_arguments,
)

if TYPE_CHECKING:
    import torch


# The pipeline's own: steps and guidance its authors publish pictures with.
DEFAULTS = ("euler", 28, 7.0)
T5_WINDOW = 256


def _details(transformer: Configuration) -> Details:
    return Details(int(transformer["sample_size"]), int(transformer["in_channels"]), DEFAULTS)


def _condition(encodings: Mapping[str, Encoding], transformer: Configuration) -> Conditioning:
    """CLIP vectors side by side, filled up with zeros to T5's width, then T5's (2403.03206).

    A model may come without its T5, in whose place the transformer reads zeros.
    """
    import torch

    small, large = encodings["clip_l"], encodings["clip_g"]
    both = torch.cat([small.hidden, large.hidden], dim=-1)
    width = int(transformer["joint_attention_dim"])
    both = torch.nn.functional.pad(both, (0, width - both.shape[-1]))
    if "t5" in encodings:
        long = encodings["t5"].hidden.to(both.dtype)
    else:
        long = both.new_zeros(both.shape[0], T5_WINDOW, width)
    pooled = torch.cat([each.pooled for each in (small, large) if each.pooled is not None], dim=-1)
    return Conditioning(torch.cat([both, long], dim=1), pooled)


def _denoise(
    transformer: Any, noisy: torch.Tensor, times: torch.Tensor, conditioning: Conditioning
) -> torch.Tensor:
    output: torch.Tensor = transformer(
        hidden_states=noisy,
        timestep=times,
        encoder_hidden_states=conditioning.hidden,
        pooled_projections=conditioning.pooled,
    ).sample
    return output


SD3 = Family(
    name="sd3",
    pipeline="StableDiffusion3Pipeline",
    encoders=(
        EncoderPart(
            "clip_l", "text_encoder", "tokenizer", penultimate=True, projected=True, pooled=True
        ),
        EncoderPart(
            "clip_g", "text_encoder_2", "tokenizer_2", penultimate=True, projected=True, pooled=True
        ),
        EncoderPart(
            "t5", "text_encoder_3", "tokenizer_3", kind="t5", window=T5_WINDOW, optional=True
        ),
    ),
    denoiser=("transformer", "SD3Transformer2DModel"),
    vae="AutoencoderKL",
    patch=PATCH,
    law=FLOW,
    details=_details,
    condition=_condition,
    denoise=_denoise,
    arguments=pooled_arguments,
    unpack=as_they_are,
)
