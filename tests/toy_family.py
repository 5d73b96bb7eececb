"""An eighth family in one file, AuraFlow, as somebody would add it, and a tiny model of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ticli.families.family import (
    FLOW,
    Conditioning,
    Configuration,
    EncoderPart,
    Encoding,
    Family,
    arguments,
    usual_details,
)

DEFAULTS = ("euler", 50, 3.5)


def _condition(encodings: Mapping[str, Encoding], _transformer: Configuration) -> Conditioning:
    """T5's vectors, with zeros in the places of padding."""
    (encoding,) = encodings.values()
    mask = encoding.mask[..., None].to(encoding.hidden.dtype)
    return Conditioning(encoding.hidden * mask, mask=encoding.mask)


def _denoise(
    transformer: Any, noisy: torch.Tensor, times: torch.Tensor, conditioning: Conditioning
) -> torch.Tensor:
    return transformer(noisy, conditioning.hidden, timestep=times / 1000).sample


AURAFLOW = Family(
    name="auraflow",
    title="AuraFlow",
    pipeline="AuraFlowPipeline",
    encoders=(EncoderPart("pile_t5", kind="t5", widths=(2048,), window=256, masked=True),),
    denoiser=("transformer", "AuraFlowTransformer2DModel"),
    patch=2,
    law=FLOW,
    details=usual_details(DEFAULTS),
    condition=_condition,
    denoise=_denoise,
    arguments=arguments,
    architecture=lambda pixels: "auraflow",
    exports={"diffusers": "diffusers", "comfyui": "encoder-keys"},
)


def build_auraflow(folder: Path) -> Path:
    """Write a tiny random model of it in the diffusers layout."""
    from diffusers import AuraFlowTransformer2DModel, FlowMatchEulerDiscreteScheduler
    from tiny_families import T5, save_index, save_t5, save_vae

    torch.manual_seed(0)
    save_t5(folder, "")
    AuraFlowTransformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_mmdit_layers=1,
        num_single_dit_layers=1, attention_head_dim=8, num_attention_heads=4,
        joint_attention_dim=T5, caption_projection_dim=32, pos_embed_max_size=64,
    ).save_pretrained(folder / "transformer")  # fmt: skip
    save_vae(folder, 4, scaling_factor=0.13025)
    FlowMatchEulerDiscreteScheduler(shift=1.73).save_pretrained(folder / "scheduler")
    save_index(folder, AURAFLOW.pipeline)
    return folder
