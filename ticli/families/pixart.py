"""PixArt-Sigma: a masked T5, a diffusion transformer that also predicts its variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ticli.families.family import (
    DIFFUSION,
    Conditioning,
    EncoderPart,
    Family,
    as_they_are,
    masked_arguments,
    masked_condition,
    usual_details,
    without_variance,
)

if TYPE_CHECKING:
    import torch


# The pipeline's own guidance and steps.
DEFAULTS = ("dpm++", 20, 4.5)


def _denoise(
    transformer: Any, noisy: torch.Tensor, times: torch.Tensor, conditioning: Conditioning
) -> torch.Tensor:
    output = transformer(
        noisy,
        encoder_hidden_states=conditioning.hidden,
        encoder_attention_mask=conditioning.mask,
        timestep=times,
        added_cond_kwargs={"resolution": None, "aspect_ratio": None},
    ).sample
    return without_variance(output, noisy.shape[1])


PIXART = Family(
    name="pixart",
    title="PixArt",
    pipeline="PixArtSigmaPipeline",
    encoders=(
        EncoderPart(
            "t5",
            "text_encoder",
            "tokenizer",
            kind="t5",
            widths=(4096,),
            aliases=("t5xxl",),
            window=300,
            masked=True,
            lower=True,
        ),
    ),
    denoiser=("transformer", "PixArtTransformer2DModel"),
    vae="AutoencoderKL",
    patch=2,
    law=DIFFUSION,
    details=usual_details(DEFAULTS),
    condition=masked_condition,
    denoise=_denoise,
    arguments=masked_arguments,
    unpack=as_they_are,
    architecture=lambda pixels: "pixart-sigma",
    exports={"comfyui": "t5", "onetrainer": "t5"},
    # Files for several encoders may hold T5's vectors alone.
    guessed=False,
)
