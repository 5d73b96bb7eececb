"""Configurations of flow transformers, read off the shapes of their tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ticli.models.single_files.configurations import Shapes, count

# What no tensor tells (2403.03206, and the pipelines' own).
HEAD_WIDTH = 64
SIDE = 128
SD3_SHIFT = 3.0
POSITIONS_OF_HEADS = {128: (16, 56, 56)}


def sd3(shapes: Shapes) -> dict[str, Any]:
    """The configuration of an SD3Transformer2DModel. Raises KeyError naming what lacks."""
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


def flux(shapes: Shapes) -> dict[str, Any]:
    """The configuration of a FluxTransformer2DModel. Raises KeyError naming what lacks."""
    head = shapes["double_blocks.0.img_attn.norm.key_norm.scale"][0]
    width, channels = shapes["img_in.weight"]
    return {
        "patch_size": 1,
        "in_channels": channels,
        "num_layers": count(shapes, "double_blocks.{}."),
        "num_single_layers": count(shapes, "single_blocks.{}."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "pooled_projection_dim": shapes["vector_in.in_layer.weight"][1],
        "guidance_embeds": _guided(shapes),
        "axes_dims_rope": POSITIONS_OF_HEADS[head],
    }


def _guided(shapes: Shapes) -> bool:
    return "guidance_in.in_layer.weight" in shapes


def _sd3_schedule(_shapes: Shapes) -> dict[str, Any]:
    return {"num_train_timesteps": 1000, "shift": SD3_SHIFT}


def _flux_schedule(shapes: Shapes) -> dict[str, Any]:
    """The variant distilled to few steps is not shifted; the other one by the picture's size."""
    if not _guided(shapes):
        return {"num_train_timesteps": 1000, "shift": 1.0}
    return {
        "num_train_timesteps": 1000,
        "shift": SD3_SHIFT,
        "use_dynamic_shifting": True,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
    }


CONFIGURATIONS: dict[str, Callable[[Shapes], dict[str, Any]]] = {"sd3": sd3, "flux": flux}
SCHEDULES: dict[str, Callable[[Shapes], dict[str, Any]]] = {
    "sd3": _sd3_schedule,
    "flux": _flux_schedule,
}
