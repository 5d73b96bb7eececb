"""PixArt-Sigma: a masked T5, a diffusion transformer that also predicts its variance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ticli.families.family import (
    DIFFUSION,
    T5,
    UNCHANGED,
    Conditioning,
    Family,
    arguments,
    masked_condition,
    usual_details,
)

if TYPE_CHECKING:
    import torch


def _denoise(
    transformer: Any, noisy: torch.Tensor, times: torch.Tensor, conditioning: Conditioning
) -> Any:
    output = transformer(
        noisy,
        encoder_hidden_states=conditioning.hidden,
        encoder_attention_mask=conditioning.mask,
        timestep=times,
        added_cond_kwargs={"resolution": None, "aspect_ratio": None},
    ).sample
    # The other half of the channels predicts the variance.
    return output[:, : noisy.shape[1]]


PIXART = Family(
    name="pixart",
    title="PixArt",
    pipeline="PixArtSigmaPipeline",
    encoders=(replace(T5, window=300, masked=True, lower=True),),
    denoiser=("transformer", "PixArtTransformer2DModel"),
    patch=2,
    law=DIFFUSION,
    # The pipeline's own guidance and steps.
    details=usual_details(("dpm++", 20, 4.5)),
    condition=masked_condition,
    denoise=_denoise,
    arguments=lambda pair, noise, guidance: arguments(pair, noise, guidance) | UNCHANGED,
    architecture=lambda pixels: "pixart-sigma",
    exports={"comfyui": "t5xxl", "onetrainer": "encoder-keys"},
    # Files for several encoders may hold T5's vectors alone.
    guessed=False,
)
