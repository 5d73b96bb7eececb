"""Tiny models written into one file, their tensors named as their authors name them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

State = dict[str, torch.Tensor]
RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
UNET_OUTER = {
    "conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2", "conv_norm_out": "out.0", "conv_out": "out.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
}  # fmt: skip
VAE_ATTENTION = {
    "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out",
}  # fmt: skip
OPEN_CLIP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight", "final_layer_norm.bias": "ln_final.bias",
}  # fmt: skip
OPEN_CLIP_INNER = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
}  # fmt: skip


def unet(module: Any) -> State:
    """A U-Net's weights as the authors of latent diffusion name them."""
    each = module.config.layers_per_block + 1
    return {_unet_key(key, each): value for key, value in module.state_dict().items()}


def _unet_key(key: str, each: int) -> str:
    outer, last = key.rsplit(".", 1)
    if outer in UNET_OUTER:
        return f"{UNET_OUTER[outer]}.{last}"
    middle = re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", key)
    if middle:
        place = 1 if middle[1] == "attentions" else 2 * int(middle[2])
        return f"middle_block.{place}.{_resnet(middle[3])}"
    side, level, kind, number, rest = re.fullmatch(
        r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", key
    ).groups()  # type: ignore[union-attr]
    if kind == "downsamplers":
        return f"input_blocks.{(int(level) + 1) * each}.0.{rest.replace('conv', 'op')}"
    if kind == "upsamplers":
        return f"output_blocks.{int(level) * each + each - 1}.UP.{rest}"
    inner = 0 if kind == "resnets" else 1
    if side == "down":
        return f"input_blocks.{int(level) * each + int(number) + 1}.{inner}.{_resnet(rest)}"
    return f"output_blocks.{int(level) * each + int(number)}.{inner}.{_resnet(rest)}"


def _resnet(rest: str) -> str:
    part, last = rest.rsplit(".", 1)
    return f"{RESNET.get(part, part)}.{last}"


def _settled(state: State) -> State:
    """An upsampler comes after the attention of its block, or where that would be."""
    found = {}
    for key, value in state.items():
        block = key.split(".UP.")[0]
        place = 2 if any(other.startswith(f"{block}.1.") for other in state) else 1
        found[key.replace(".UP.", f".{place}.")] = value
    return found


def vae(module: Any) -> State:
    """A VAE's weights as the authors of latent diffusion name them."""
    levels = len(module.config.block_out_channels)
    found = {}
    for key, value in module.state_dict().items():
        new = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
        new = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", new)
        new = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", new)
        new = re.sub(
            r"up_blocks\.(\d)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", new
        )
        new = re.sub(
            r"up_blocks\.(\d)\.upsamplers\.0",
            lambda m: f"up.{levels - 1 - int(m[1])}.upsample",
            new,
        )
        attention = re.fullmatch(r"(.+)mid_block\.attentions\.0\.(.+)\.(weight|bias)", new)
        if attention:
            name = VAE_ATTENTION[attention[2]]
            new = f"{attention[1]}mid.attn_1.{name}.{attention[3]}"
            if name != "norm" and attention[3] == "weight":
                # The authors' projections are convolutions of one pixel.
                value = value[..., None, None]
        found[new] = value
    return found


def clip(module: Any) -> State:
    """A text encoder's weights in transformers' naming, the prefix of some versions left out."""
    state = module.state_dict()
    return {key.removeprefix("text_model."): value for key, value in state.items()}


def open_clip(module: Any, unread: int = 0) -> State:
    """A text encoder's weights as OpenCLIP names them, with `unread` layers after the last."""
    state, found = clip(module), {}
    layers = module.config.num_hidden_layers
    for key, value in state.items():
        layer = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", key)
        if key in OPEN_CLIP:
            found[OPEN_CLIP[key]] = value
        elif key == "text_projection.weight":
            found["text_projection"] = value.T
        elif layer and layer[2] in OPEN_CLIP_INNER:
            inner = OPEN_CLIP_INNER[layer[2]]
            found[f"transformer.resblocks.{layer[1]}.{inner}.{layer[3]}"] = value
    for layer in range(layers):
        for kind in ("weight", "bias"):
            parts = [state[f"encoder.layers.{layer}.self_attn.{x}_proj.{kind}"] for x in "qkv"]
            name = f"transformer.resblocks.{layer}.attn.in_proj_{kind}"
            found[name] = torch.cat(parts)
    for extra in range(layers, layers + unread):
        first = {k: v for k, v in found.items() if k.startswith("transformer.resblocks.0.")}
        for key, value in first.items():
            found[key.replace(".0.", f".{extra}.", 1)] = torch.randn_like(value)
    found["logit_scale"] = torch.tensor(4.6)
    found.setdefault("text_projection", torch.eye(module.config.hidden_size))
    return found


def joined(parts: Mapping[str, State]) -> State:
    """One state of several, each under its prefix."""
    return {
        f"{prefix}{key}": value.contiguous()
        for prefix, state in parts.items()
        for key, value in _settled(state).items()
    }


def save(path: Path, state: State, metadata: Mapping[str, str] | None = None) -> Path:
    """Write a single file."""
    from safetensors.torch import save_file

    save_file({k: v.clone() for k, v in state.items()}, path, metadata=dict(metadata or {}))
    return path
