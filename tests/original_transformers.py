"""Transformers of flow models, their tensors named and joined as their authors do."""

from __future__ import annotations

import re
from typing import Any

import torch

State = dict[str, torch.Tensor]
TWO = (("linear_1", "0"), ("linear_2", "2"))


def _take(state: State, names: dict[str, str]) -> State:
    """Rename by a table of "original": "diffusers" or "diffusers+diffusers" joined in a row."""
    found = {}
    for new, old in names.items():
        for kind in ("weight", "bias", "scale"):
            parts = [f"{part}.{'weight' if kind == 'scale' else kind}" for part in old.split("+")]
            if (kind == "scale") != new.endswith("_norm") or parts[0] not in state:
                continue
            found[f"{new}.{kind}"] = torch.cat([state[part] for part in parts])
    return found


def _turned(state: State, new: str, old: str) -> State:
    """A scale and a shift in the other order."""
    return {
        f"{new}.{kind}": torch.cat(list(reversed(state[f"{old}.{kind}"].chunk(2))))
        for kind in ("weight", "bias")
    }


def _layers(state: State, pattern: str) -> int:
    found = [re.match(pattern, key) for key in state]
    return 1 + max(int(match[1]) for match in found if match)


def sd3(module: Any) -> State:
    """An SD3Transformer2DModel's weights in its authors' layout."""
    state = module.state_dict()
    names = {"x_embedder.proj": "pos_embed.proj", "context_embedder": "context_embedder",
             "final_layer.linear": "proj_out"}  # fmt: skip
    for new, old in (("t", "timestep"), ("y", "text")):
        for mine, theirs in TWO:
            names[f"{new}_embedder.mlp.{theirs}"] = f"time_text_embed.{old}_embedder.{mine}"
    layers, turned = _layers(state, r"transformer_blocks\.(\d+)"), {}
    for layer in range(layers):
        here = f"transformer_blocks.{layer}"
        for side, added in (("x", ""), ("context", "_context")):
            block = f"joint_blocks.{layer}.{side}_block"
            kinds = (
                ("add_q_proj", "add_k_proj", "add_v_proj") if added else ("to_q", "to_k", "to_v")
            )
            names[f"{block}.attn.qkv"] = "+".join(f"{here}.attn.{kind}" for kind in kinds)
            names[f"{block}.attn.proj"] = f"{here}.attn.{'to_add_out' if added else 'to_out.0'}"
            names[f"{block}.mlp.fc1"] = f"{here}.ff{added}.net.0.proj"
            names[f"{block}.mlp.fc2"] = f"{here}.ff{added}.net.2"
            modulation = f"{block}.adaLN_modulation.1", f"{here}.norm1{added}.linear"
            if added and layer == layers - 1:
                turned |= _turned(state, *modulation)
            else:
                names[modulation[0]] = modulation[1]
    turned |= _turned(state, "final_layer.adaLN_modulation.1", "norm_out.linear")
    return {"pos_embed": state["pos_embed.pos_embed"], **_take(state, names), **turned}


def flux(module: Any) -> State:
    """A FluxTransformer2DModel's weights in its authors' layout."""
    state = module.state_dict()
    names = {"img_in": "x_embedder", "txt_in": "context_embedder", "final_layer.linear": "proj_out"}
    for new, old in (("time", "timestep"), ("vector", "text"), ("guidance", "guidance")):
        for place, number in (("in", 1), ("out", 2)):
            old_name = f"time_text_embed.{old}_embedder.linear_{number}"
            names[f"{new}_in.{place}_layer"] = old_name
    for layer in range(_layers(state, r"transformer_blocks\.(\d+)")):
        here, block = f"transformer_blocks.{layer}", f"double_blocks.{layer}"
        for side, added, kinds, end, norm in (
            ("img", "", ("to_q", "to_k", "to_v"), "to_out.0", "norm_"),
            ("txt", "_context", ("add_q_proj", "add_k_proj", "add_v_proj"), "to_add_out",
             "norm_added_"),
        ):  # fmt: skip
            names[f"{block}.{side}_mod.lin"] = f"{here}.norm1{added}.linear"
            names[f"{block}.{side}_attn.qkv"] = "+".join(f"{here}.attn.{kind}" for kind in kinds)
            names[f"{block}.{side}_attn.proj"] = f"{here}.attn.{end}"
            names[f"{block}.{side}_attn.norm.query_norm"] = f"{here}.attn.{norm}q"
            names[f"{block}.{side}_attn.norm.key_norm"] = f"{here}.attn.{norm}k"
            names[f"{block}.{side}_mlp.0"] = f"{here}.ff{added}.net.0.proj"
            names[f"{block}.{side}_mlp.2"] = f"{here}.ff{added}.net.2"
    for layer in range(_layers(state, r"single_transformer_blocks\.(\d+)")):
        here, block = f"single_transformer_blocks.{layer}", f"single_blocks.{layer}"
        parts = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
        names[f"{block}.linear1"] = "+".join(f"{here}.{part}" for part in parts)
        names[f"{block}.linear2"] = f"{here}.proj_out"
        names[f"{block}.modulation.lin"] = f"{here}.norm.linear"
        names[f"{block}.norm.query_norm"] = f"{here}.attn.norm_q"
        names[f"{block}.norm.key_norm"] = f"{here}.attn.norm_k"
    turned = _turned(state, "final_layer.adaLN_modulation.1", "norm_out.linear")
    return {**_take(state, names), **turned}


def sana(module: Any) -> State:
    """A SanaTransformer2DModel's weights in its authors' layout."""
    state = module.state_dict()
    embedder = "time_embed.emb.timestep_embedder"
    names = {
        "x_embedder.proj": "patch_embed.proj", "t_block.1": "time_embed.linear",
        "t_embedder.mlp.0": f"{embedder}.linear_1", "t_embedder.mlp.2": f"{embedder}.linear_2",
        "y_embedder.y_proj.fc1": "caption_projection.linear_1",
        "y_embedder.y_proj.fc2": "caption_projection.linear_2",
        "final_layer.linear": "proj_out",
    }  # fmt: skip
    tables = {"final_layer.scale_shift_table": state["scale_shift_table"],
              "attention_y_norm.weight": state["caption_norm.weight"]}  # fmt: skip
    for layer in range(_layers(state, r"transformer_blocks\.(\d+)")):
        here, block = f"transformer_blocks.{layer}", f"blocks.{layer}"
        names |= {
            f"{block}.attn.qkv": "+".join(f"{here}.attn1.to_{letter}" for letter in "qkv"),
            f"{block}.attn.proj": f"{here}.attn1.to_out.0",
            f"{block}.cross_attn.q_linear": f"{here}.attn2.to_q",
            f"{block}.cross_attn.kv_linear": f"{here}.attn2.to_k+{here}.attn2.to_v",
            f"{block}.cross_attn.proj": f"{here}.attn2.to_out.0",
            f"{block}.mlp.inverted_conv.conv": f"{here}.ff.conv_inverted",
            f"{block}.mlp.depth_conv.conv": f"{here}.ff.conv_depth",
            f"{block}.mlp.point_conv.conv": f"{here}.ff.conv_point",
        }
        tables[f"{block}.scale_shift_table"] = state[f"{here}.scale_shift_table"]
    return {**_take(state, names), **tables}
