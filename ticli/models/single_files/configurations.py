"""Configurations of a Stable Diffusion's parts, read off the shapes of their tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ticli.models.single_files.recognising import Shape

Shapes = Mapping[str, Shape]
# No tensor tells these; they are what the models' authors published (2112.10752, 2307.01952).
GROUPS = 32
HEADS_OF_SD1 = 8
HEAD_WIDTH = 64
SIZES_IN_TIME_IDS = 6
NOISE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


@dataclass(frozen=True)
class Level:
    """One resolution of a U-Net: its channels, residual blocks and transformer depth."""

    channels: int
    blocks: int
    depth: int


def count(shapes: Shapes, pattern: str) -> int:
    """How many numbers in a row, from 0, a key with `{}` in it is there for; ends are left open."""
    number = 0
    while any(key.startswith(pattern.format(number)) for key in shapes):
        number += 1
    return number


def levels_of(shapes: Shapes) -> list[Level]:
    """The resolutions of a U-Net in its original layout, the largest first."""
    levels: list[Level] = []
    channels = blocks = depth = 0
    for number in range(1, count(shapes, "input_blocks.{}.")):
        block = f"input_blocks.{number}"
        if f"{block}.0.op.weight" in shapes:
            levels.append(Level(channels, blocks, depth))
            channels = blocks = depth = 0
            continue
        channels, blocks = shapes[f"{block}.0.in_layers.2.weight"][0], blocks + 1
        depth = count(shapes, f"{block}.1.transformer_blocks.{{}}.")
    return [*levels, Level(channels, blocks, depth)]


def unet(shapes: Shapes, family: str, sample_size: int) -> dict[str, Any]:
    """The configuration of a UNet2DConditionModel. Raises KeyError naming a tensor that lacks."""
    levels = levels_of(shapes)
    middle = count(shapes, "middle_block.1.transformer_blocks.{}.")
    # A last level without attention lends its depth to the middle block.
    depths = [level.depth or 1 for level in levels[:-1]] + [levels[-1].depth or middle]
    attended = [bool(level.depth) for level in levels]
    widths = [level.channels for level in levels]
    attention = next(key for key in shapes if key.endswith("attn2.to_k.weight"))
    proj_in = shapes["middle_block.1.proj_in.weight"]
    found = {
        "sample_size": sample_size,
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        "block_out_channels": widths,
        "layers_per_block": levels[0].blocks,
        "down_block_types": ["CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attended],
        "up_block_types": [
            "CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attended)
        ],
        "cross_attention_dim": shapes[attention][1],
        "attention_head_dim": HEADS_OF_SD1
        if family == "sd1"
        else [max(1, width // HEAD_WIDTH) for width in widths],
        "transformer_layers_per_block": depths,
        "use_linear_projection": len(proj_in) == 2,
        "norm_num_groups": GROUPS,
    }
    return found | (_size_conditioning(shapes) if family == "sdxl" else {})


def _size_conditioning(shapes: Shapes) -> dict[str, Any]:
    """Pooled text and six numbers of the picture's size, each spread over as many channels."""
    width = shapes["label_emb.0.0.weight"][1]
    pooled = shapes["text"][0]
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": (width - pooled) // SIZES_IN_TIME_IDS,
        "projection_class_embeddings_input_dim": width,
    }


def vae(shapes: Shapes, scale: float, shift: float | None) -> dict[str, Any]:
    """The configuration of an AutoencoderKL. Raises KeyError naming a tensor that lacks."""
    levels = max(1, count(shapes, "encoder.down.{}."))
    widths = [shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in range(levels)]
    quantised = "quant_conv.weight" in shapes
    return {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "block_out_channels": widths,
        "layers_per_block": count(shapes, "encoder.down.0.block.{}."),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "norm_num_groups": GROUPS,
        "scaling_factor": scale,
        "shift_factor": shift,
        "use_quant_conv": quantised,
        "use_post_quant_conv": quantised,
    }


def clip(shapes: Shapes) -> dict[str, Any]:
    """The configuration of a CLIP text encoder in transformers' naming: OpenAI's ViT-L."""
    words, width = shapes["embeddings.token_embedding.weight"]
    found = _text(words, width, shapes["embeddings.position_embedding.weight"][0])
    return found | {
        "num_hidden_layers": count(shapes, "encoder.layers.{}."),
        "intermediate_size": shapes["encoder.layers.0.mlp.fc1.weight"][0],
        "hidden_act": "quick_gelu",
        "projection_dim": shapes.get("text_projection.weight", (width,))[0],
    }


def projected_width(shapes: Shapes) -> int:
    """How wide an OpenCLIP encoder's pooled text is. Raises KeyError where it has no projection.

    Some files made of folders keep it as transformers does, from the other side.
    """
    if "text_projection.weight" in shapes:
        return shapes["text_projection.weight"][0]
    return shapes["text_projection"][1]


def open_clip(shapes: Shapes, read: int | None) -> dict[str, Any]:
    """The same of an OpenCLIP text encoder, of which no more than `read` layers are counted."""
    words, width = shapes["token_embedding.weight"]
    found = _text(words, width, shapes["positional_embedding"][0])
    layers = count(shapes, "transformer.resblocks.{}.")
    projected = any(key.startswith("text_projection") for key in shapes)
    return found | {
        "num_hidden_layers": min(layers, read or layers),
        "intermediate_size": shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
        "hidden_act": "gelu",
        "projection_dim": projected_width(shapes) if projected else width,
    }


def t5(shapes: Shapes) -> dict[str, Any]:
    """The configuration of a T5 encoder of version 1.1, whose feed-forward part is gated."""
    table = "shared.weight" if "shared.weight" in shapes else "encoder.embed_tokens.weight"
    first = "encoder.block.0.layer.0.SelfAttention"
    heads = shapes[f"{first}.relative_attention_bias.weight"][1]
    return {
        "vocab_size": shapes[table][0],
        "d_model": shapes[table][1],
        "num_layers": count(shapes, "encoder.block.{}."),
        "num_heads": heads,
        "d_kv": shapes[f"{first}.q.weight"][0] // heads,
        "d_ff": shapes["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"][0],
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }


def _text(words: int, width: int, positions: int) -> dict[str, Any]:
    return {
        "vocab_size": words,
        "hidden_size": width,
        "max_position_embeddings": positions,
        "num_attention_heads": max(1, width // HEAD_WIDTH),
        "layer_norm_eps": 1e-5,
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
    }


# Configurations of flow transformers, read off the shapes of their tensors.

# What no tensor tells (2403.03206, and the pipelines' own).
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
