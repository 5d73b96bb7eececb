"""Flux.1: CLIP for the pooled text, T5 for the sequence, a flow transformer over packed latents."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ticli.families.family import (
    CLIP_L,
    FLOW,
    PATCH,
    T5,
    Conditioning,
    Configuration,
    Details,
    Encoding,
    Family,
    Shapes,
    SingleFileLayout,
    State,
    count,
)

if TYPE_CHECKING:
    from torch import Tensor


# The pipeline's own; the transformer's configuration names no size.
SIDE = 128
GUIDED, DISTILLED = ("euler", 28, 3.5), ("euler", 4, 0.0)
# The fast variant was distilled on shorter texts.
WINDOW, DISTILLED_WINDOW = 512, 256


def _details(transformer: Configuration) -> Details:
    """A variant that is told no guidance is the one distilled to few steps."""
    channels = int(transformer["in_channels"]) // PATCH**2
    if transformer.get("guidance_embeds"):
        return Details(SIDE, channels, GUIDED, reads_negative=False)
    return Details(SIDE, channels, DISTILLED, {"t5": DISTILLED_WINDOW}, reads_negative=False)


def _condition(encodings: Mapping[str, Encoding], _transformer: Configuration) -> Conditioning:
    return Conditioning(encodings["t5"].hidden, encodings["clip_l"].pooled)


def pack(latents: Tensor) -> Tensor:
    """(batch, channels, height, width) to (batch, patches, 4 · channels)."""
    batch, channels, height, width = latents.shape
    rows, columns = height // PATCH, width // PATCH
    patches = latents.reshape(batch, channels, rows, PATCH, columns, PATCH)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)


def unpack(packed: Tensor, height: int, width: int) -> Tensor:
    """Undo `pack` for latents of (height, width)."""
    rows, columns = height // PATCH, width // PATCH
    patches = packed.reshape(packed.shape[0], rows, columns, -1, PATCH, PATCH)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(packed.shape[0], -1, height, width)


def _positions(noisy: Tensor) -> Tensor:
    """The (0, row, column) of each patch, (patches, 3)."""
    import torch

    rows, columns = (
        torch.arange(side // PATCH, device=noisy.device, dtype=noisy.dtype)
        for side in noisy.shape[-2:]
    )
    return torch.cartesian_prod(noisy.new_zeros(1), rows, columns)


def _denoise(transformer: Any, noisy: Tensor, times: Tensor, conditioning: Conditioning) -> Tensor:
    guidance = None
    if transformer.config.guidance_embeds:
        # At 1 it predicts the velocity itself, which is the target.
        guidance = times.new_ones(noisy.shape[0])
    packed: Tensor = transformer(
        hidden_states=pack(noisy),
        timestep=times / 1000,
        guidance=guidance,
        pooled_projections=conditioning.pooled,
        encoder_hidden_states=conditioning.hidden,
        txt_ids=noisy.new_zeros(conditioning.hidden.shape[1], 3),
        img_ids=_positions(noisy),
    ).sample
    return unpack(packed, noisy.shape[-2], noisy.shape[-1])


def _arguments(pair: Conditioning, noise: Tensor, guidance: float) -> dict[str, Any]:
    """The negative prompt stays unread: guidance is a number that the transformer is told."""
    _, positive = pair.halves()
    return {
        "prompt_embeds": positive.hidden,
        "pooled_prompt_embeds": positive.pooled,
        "latents": pack(noise),
        "guidance_scale": guidance,
    }


# The names of tensors in a single file. diffusers' converter takes no other width than 3072.
BLOCK = re.compile(r"(double|single)_blocks\.(\d+)\.(.+)\.(weight|bias|scale)")
OUTER = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in": "time_text_embed.timestep_embedder",
    "vector_in": "time_text_embed.text_embedder",
    "guidance_in": "time_text_embed.guidance_embedder",
    "in_layer": "linear_1",
    "out_layer": "linear_2",
}
INNER = {
    "img_mod.lin": "norm1.linear",
    "txt_mod.lin": "norm1_context.linear",
    "img_attn.proj": "attn.to_out.0",
    "txt_attn.proj": "attn.to_add_out",
    "img_mlp.0": "ff.net.0.proj",
    "img_mlp.2": "ff.net.2",
    "txt_mlp.0": "ff_context.net.0.proj",
    "txt_mlp.2": "ff_context.net.2",
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
    "modulation.lin": "norm.linear",
    "linear2": "proj_out",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
}
# These are one matrix in the authors' layout.
JOINED = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
}
GUIDANCE = "guidance_in.in_layer.weight"
LAST = "final_layer.adaLN_modulation.1."
POSITIONS_OF_HEADS = {128: (16, 56, 56)}


def _configuration(
    shapes: Shapes, _texts: Mapping[str, Shapes], _prediction: str
) -> dict[str, Any]:
    """The configuration of a FluxTransformer2DModel. Raises KeyError naming a missing tensor."""
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
        "guidance_embeds": GUIDANCE in shapes,
        "axes_dims_rope": POSITIONS_OF_HEADS[head],
    }


def _schedule(shapes: Shapes, _names: Collection[str], _prediction: str) -> dict[str, Any]:
    """The variant distilled to few steps is not shifted; the other one by the picture's size."""
    if GUIDANCE not in shapes:
        return {"num_train_timesteps": 1000, "shift": 1.0}
    return {
        "num_train_timesteps": 1000,
        "shift": 3.0,
        "use_dynamic_shifting": True,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
    }


def flux_state(tensors: State, transformer: Configuration) -> State:
    """Rename every tensor, joined ones taken apart; what is unknown keeps its name."""
    import torch

    width = transformer["attention_head_dim"] * transformer["num_attention_heads"]
    found: State = {}
    for key, tensor in tensors.items():
        block = BLOCK.fullmatch(key)
        if block is not None:
            found |= _block(block, tensor, width)
        elif key.startswith(LAST):
            # The authors put the shift before the scale, diffusers after it.
            shift, scale = tensor.chunk(2)
            found[f"norm_out.linear.{key.removeprefix(LAST)}"] = torch.cat([scale, shift])
        elif key.startswith("final_layer.linear."):
            found[key.replace("final_layer.linear.", "proj_out.")] = tensor
        else:
            found[".".join(OUTER.get(word, word) for word in key.split("."))] = tensor
    return found


def _block(block: re.Match[str], tensor: Tensor, width: int) -> State:
    kind, number, inner, last = block.groups()
    place = f"{'single_' if kind == 'single' else ''}transformer_blocks.{number}"
    last = "weight" if last == "scale" else last
    if inner not in JOINED:
        return {f"{place}.{INNER.get(inner, inner)}.{last}": tensor}
    names = JOINED[inner]
    parts = tensor.tensor_split([width * cut for cut in range(1, len(names))])
    return {f"{place}.{name}.{last}": part.clone() for name, part in zip(names, parts, strict=True)}


FLUX = Family(
    name="flux",
    title="Flux",
    pipeline="FluxPipeline",
    encoders=(
        replace(CLIP_L, prefix="text_encoders.clip_l.transformer.", pooled=True),
        replace(
            T5, folder="text_encoder_2", prefix="text_encoders.t5xxl.transformer.", window=WINDOW
        ),
    ),
    denoiser=("transformer", "FluxTransformer2DModel"),
    patch=PATCH,
    law=FLOW,
    details=_details,
    condition=_condition,
    denoise=_denoise,
    arguments=_arguments,
    unpack=unpack,
    architecture=lambda pixels: "flux-1-dev",
    exports={"diffusers": "diffusers-pair", "comfyui": "t5xxl", "onetrainer": "encoder-keys"},
    single_file=SingleFileLayout(
        marks=("double_blocks.0.img_attn.norm.key_norm.scale", "single_blocks.0.linear1.weight"),
        state=flux_state,
        configuration=_configuration,
        schedule=_schedule,
        scaling=(0.3611, 0.1159),
    ),
)
