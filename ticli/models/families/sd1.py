"""Stable Diffusion 1: one CLIP ViT-L, a U-Net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ticli.models.conditioning import Conditioning, Encoding
from ticli.models.families.diffusion import DIFFUSION
from ticli.models.families.family import (
    Configuration,
    Details,
    EncoderPart,
    Family,
    arguments,
    as_they_are,
)

if TYPE_CHECKING:
    import torch

# What users of Stable Diffusion take.
DEFAULTS = ("dpm++", 30, 7.5)


def details(unet: Configuration) -> Details:
    """The U-Net's own size of latents."""
    return Details(int(unet["sample_size"]), int(unet["in_channels"]), DEFAULTS)


def condition(encodings: Mapping[str, Encoding], _unet: Configuration) -> Conditioning:
    """The last layer of the one encoder there is."""
    (encoding,) = encodings.values()
    return Conditioning(encoding.hidden)


def denoise(
    unet: Any, noisy: torch.Tensor, times: torch.Tensor, conditioning: Conditioning
) -> torch.Tensor:
    """Call the U-Net; the result has the shape of `noisy`."""
    output: torch.Tensor = unet(noisy, times, conditioning.hidden).sample
    return output


SD1 = Family(
    name="sd1",
    pipeline="StableDiffusionPipeline",
    encoders=(EncoderPart("clip_l", "text_encoder", "tokenizer"),),
    denoiser=("unet", "UNet2DConditionModel"),
    vae="AutoencoderKL",
    patch=1,
    law=DIFFUSION,
    details=details,
    condition=condition,
    denoise=denoise,
    arguments=arguments,
    unpack=as_they_are,
)
