"""Stable Diffusion 3 and 3.5: two CLIPs and a T5 in one sequence, a flow transformer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ticli.families.family import (
    CLIP_L,
    FLOW,
    PATCH,
    POOLED_CLIP_G,
    T5,
    Conditioning,
    Configuration,
    Encoding,
    Family,
    Shapes,
    SingleFileLayout,
    State,
    arguments,
    count,
    usual_details,
)

if TYPE_CHECKING:
    import torch


T5_WINDOW = 256
# What no tensor tells (2403.03206).
SIDE, SHIFT, HEAD_WIDTH = 128, 3.0, 64


def _condition(encodings: Mapping[str, Encoding], transformer: Configuration) -> Conditioning:
    """CLIP's vectors side by side, padded to T5's width, then T5's or zeros (2403.03206)."""
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
) -> Any:
    return transformer(
        hidden_states=noisy,
        timestep=times,
        encoder_hidden_states=conditioning.hidden,
        pooled_projections=conditioning.pooled,
    ).sample


def _configuration(
    shapes: Shapes, _texts: Mapping[str, Shapes], _prediction: str
) -> dict[str, Any]:
    """The configuration of an SD3Transformer2DModel. Raises KeyError naming a missing tensor."""
    width, channels, patch, _ = shapes["x_embedder.proj.weight"]
    layers = count(shapes, "joint_blocks.{}.")
    blocks = [f"joint_blocks.{layer}.x_block" for layer in range(layers)]
    head = shapes.get(f"{blocks[0]}.attn.ln_q.weight", (min(HEAD_WIDTH, width),))[0]
    return {
        "sample_size": SIDE,
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0] // patch**2,
        "num_layers": layers,
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "caption_projection_dim": width,
        "pooled_projection_dim": shapes["y_embedder.mlp.0.weight"][1],
        "pos_embed_max_size": math.isqrt(shapes["pos_embed"][1]),
        "qk_norm": "rms_norm" if f"{blocks[0]}.attn.ln_q.weight" in shapes else None,
        "dual_attention_layers": [
            layer for layer, block in enumerate(blocks) if f"{block}.attn2.qkv.weight" in shapes
        ],
    }


def _state(tensors: State, _transformer: Configuration) -> Any:
    from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers

    return convert_sd3_transformer_checkpoint_to_diffusers(tensors)


SD3 = Family(
    name="sd3",
    title="Stable Diffusion 3",
    pipeline="StableDiffusion3Pipeline",
    encoders=(
        replace(
            CLIP_L,
            prefix="text_encoders.clip_l.transformer.",
            penultimate=True,
            projected=True,
            pooled=True,
        ),
        replace(POOLED_CLIP_G, prefix="text_encoders.clip_g.transformer."),
        replace(
            T5,
            folder="text_encoder_3",
            prefix="text_encoders.t5xxl.transformer.",
            window=T5_WINDOW,
            optional=True,
        ),
    ),
    denoiser=("transformer", "SD3Transformer2DModel"),
    patch=PATCH,
    law=FLOW,
    # The pipeline's own; its authors publish pictures with these steps and guidance.
    details=usual_details(("euler", 28, 7.0)),
    condition=_condition,
    denoise=_denoise,
    arguments=arguments,
    architecture=lambda pixels: "stable-diffusion-3-medium",
    exports={"comfyui": "t5xxl", "onetrainer": "encoder-keys"},
    single_file=SingleFileLayout(
        marks=("joint_blocks.0.context_block.attn.qkv.weight", "context_embedder.weight"),
        state=_state,
        configuration=_configuration,
        schedule=lambda shapes, names, prediction: {"num_train_timesteps": 1000, "shift": SHIFT},
        scaling=(1.5305, 0.0609),
    ),
)
