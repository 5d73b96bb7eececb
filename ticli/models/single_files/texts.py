"""Text encoders of single files, their tensors renamed as transformers names them."""

from __future__ import annotations

import re
from typing import Any

import torch

State = dict[str, torch.Tensor]
LAYER = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")
# OpenCLIP's names and those of transformers.
OUTER = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
INNER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
PROJECTION = "text_projection.weight"


def clip_state(tensors: State, _configuration: Any) -> State:
    """Leave out what older versions of transformers stored beside the weights."""
    kept = {
        key.removeprefix("text_model."): tensor
        for key, tensor in tensors.items()
        if not key.endswith("position_ids") and key not in ("logit_scale", PROJECTION)
    }
    if PROJECTION in tensors:
        kept[PROJECTION] = tensors[PROJECTION]
    return kept


def open_clip_state(tensors: State, configuration: Any) -> State:
    """Take OpenCLIP's joined query, key and value apart, and leave out layers that are not read."""
    found: State = {}
    for key, tensor in tensors.items():
        layer = LAYER.fullmatch(key)
        if layer is not None:
            if int(layer[1]) < configuration["num_hidden_layers"]:
                found |= _layer(f"encoder.layers.{layer[1]}", layer[2], tensor)
        elif key == "text_projection":
            # OpenCLIP multiplies from the other side.
            found[PROJECTION] = tensor.T.contiguous()
        elif key in OUTER:
            found[OUTER[key]] = tensor
        elif key == PROJECTION:
            found[key] = tensor
    return found


def t5_state(tensors: State) -> State:
    """Name the one token table twice, as transformers does."""
    first, second = "shared.weight", "encoder.embed_tokens.weight"
    table = tensors[first if first in tensors else second]
    return {**tensors, first: table, second: table}


def _layer(layer: str, key: str, tensor: torch.Tensor) -> State:
    if key.startswith("attn.in_proj_"):
        kind = key.removeprefix("attn.in_proj_")
        names = [f"{layer}.self_attn.{letter}_proj.{kind}" for letter in "qkv"]
        return {name: part.clone() for name, part in zip(names, tensor.chunk(3), strict=True)}
    inner, kind = key.rsplit(".", 1)
    return {f"{layer}.{INNER.get(inner, inner)}.{kind}": tensor}
