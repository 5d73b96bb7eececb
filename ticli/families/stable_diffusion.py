"""Stable Diffusion 1: one CLIP ViT-L, a U-Net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ticli.families.family import (
    DIFFUSION,
    Conditioning,
    Configuration,
    Details,
    EncoderPart,
    Encoding,
    Family,
    arguments,
    as_they_are,
    pooled_arguments,
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


# Stable Diffusion 2: Stable Diffusion 1 with an OpenCLIP ViT-H, predicting noise or velocity.

# diffusers' files of ViT-H leave its last layer out, so that the last one is the one to read.
SD2 = replace(SD1, name="sd2", encoders=(EncoderPart("clip_h", "text_encoder", "tokenizer"),))
WIDTH = 1024


# Stable Diffusion XL: CLIP ViT-L beside OpenCLIP ViT-bigG, pooled text, the picture's size.

# The pipeline's own guidance; steps and sampler as users take them.
SDXL_DEFAULTS = ("dpm++", 30, 5.0)
# Sizes are told in pixels, and the VAE of Stable Diffusion XL halves a picture three times.
PIXELS = 8


def _details(unet: Configuration) -> Details:
    return Details(int(unet["sample_size"]), int(unet["in_channels"]), SDXL_DEFAULTS)


def _condition(encodings: Mapping[str, Encoding], _unet: Configuration) -> Conditioning:
    """Both encoders' vectors side by side; the pooled text is the second one's (2307.01952)."""
    import torch

    small, large = encodings["clip_l"], encodings["clip_g"]
    return Conditioning(torch.cat([small.hidden, large.hidden], dim=-1), large.pooled)


def size_conditioning(noisy: torch.Tensor) -> torch.Tensor:
    """Original size, crop and target size of whole pictures, pixels: (batch, 6)."""
    import torch

    # In half precision some sizes would be rounded. Filled, not copied from the host: a copy has
    # no place in a CUDA graph.
    sizes = noisy.new_zeros(noisy.shape[0], 6, dtype=torch.float32)
    sizes[:, 0::4] = noisy.shape[-2] * PIXELS
    sizes[:, 1::4] = noisy.shape[-1] * PIXELS
    return sizes


def _denoise(
    unet: Any, noisy: torch.Tensor, times: torch.Tensor, conditioning: Conditioning
) -> torch.Tensor:
    added = {"text_embeds": conditioning.pooled, "time_ids": size_conditioning(noisy)}
    output: torch.Tensor = unet(noisy, times, conditioning.hidden, added_cond_kwargs=added).sample
    return output


SDXL = replace(
    SD1,
    name="sdxl",
    pipeline="StableDiffusionXLPipeline",
    encoders=(
        EncoderPart("clip_l", "text_encoder", "tokenizer", penultimate=True),
        EncoderPart(
            "clip_g",
            "text_encoder_2",
            "tokenizer_2",
            penultimate=True,
            projected=True,
            pooled=True,
        ),
    ),
    details=_details,
    condition=_condition,
    denoise=_denoise,
    arguments=pooled_arguments,
    zeroed=True,
)
