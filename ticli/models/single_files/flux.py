"""Flux.1's transformer in its authors' layout, its tensors renamed as diffusers names them."""

from __future__ import annotations

import re
from typing import Any

import torch

State = dict[str, torch.Tensor]
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
DOUBLE = {
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
}
SINGLE = {
    "modulation.lin": "norm.linear",
    "linear2": "proj_out",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
}
# Query, key and value are one matrix in the authors' layout.
JOINED = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
}
WITH_MLP = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
LAST = "final_layer.adaLN_modulation.1."


def flux_state(tensors: State, configuration: Any) -> State:
    """Rename every tensor, joined ones taken apart; what is unknown keeps its name."""
    width = configuration["attention_head_dim"] * configuration["num_attention_heads"]
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


def _block(block: re.Match[str], tensor: torch.Tensor, width: int) -> State:
    kind, number, inner, last = block.groups()
    last = "weight" if last == "scale" else last
    names: tuple[str, ...]
    if kind == "double":
        place = f"transformer_blocks.{number}"
        names = JOINED.get(inner, (DOUBLE.get(inner, inner),))
        parts = tensor.chunk(3) if inner in JOINED else (tensor,)
    else:
        place = f"single_transformer_blocks.{number}"
        names = WITH_MLP if inner == "linear1" else (SINGLE.get(inner, inner),)
        cuts = (width, 2 * width, 3 * width)
        parts = tensor.tensor_split(cuts) if inner == "linear1" else (tensor,)
    return {
        f"{place}.{name}.{last}": part.clone() if len(parts) > 1 else part
        for name, part in zip(names, parts, strict=True)
    }
