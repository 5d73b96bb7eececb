"""Text encoders of single files, their tensors renamed as transformers names them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from ticli.errors import ModelUnavailable
from ticli.models.single_files.recognising import SingleFile

State = dict[str, torch.Tensor]
LAYER = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")
# OpenCLIP's names and those of transformers.
CLIP_OUTER = {
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
        elif key in CLIP_OUTER:
            found[CLIP_OUTER[key]] = tensor
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


# Flux.1's transformer in its authors' layout, its tensors renamed as diffusers names them.

BLOCK = re.compile(r"(double|single)_blocks\.(\d+)\.(.+)\.(weight|bias|scale)")
FLUX_OUTER = {
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
            found[".".join(FLUX_OUTER.get(word, word) for word in key.split("."))] = tensor
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


# Parts of a model out of a single file: built without weights, then given the file's.

Convert = Callable[[State, Mapping[str, Any]], State]


def load_text(single: SingleFile, part: str, kind: str, dtype: torch.dtype) -> Any:
    """Build a text encoder by its transformers class, with the file's weights.

    Raises ModelUnavailable where tensors lack or are of another shape.
    """
    import transformers

    configuration = single.configurations[part]
    tensors = _tensors(single, part)
    if "d_model" in configuration:
        with _without_weights():
            module = getattr(transformers, kind)(transformers.T5Config(**configuration))
        return _filled(module, t5_state(tensors), single, dtype)
    open_clip = any(key.startswith("transformer.resblocks.") for key in tensors)
    state = (open_clip_state if open_clip else clip_state)(tensors, configuration)
    with _without_weights():
        module = getattr(transformers, kind)(transformers.CLIPTextConfig(**configuration))
    names = module.state_dict()
    if any(name.startswith("text_model.") for name in names):
        state = {f"text_model.{k}" if k != PROJECTION else k: v for k, v in state.items()}
    if PROJECTION not in names:
        state.pop(PROJECTION, None)
    elif PROJECTION not in state:
        # Stable Diffusion 3 takes its small CLIP's pooled text as it is.
        width = configuration["hidden_size"]
        state[PROJECTION] = torch.eye(width)
    return _filled(module, state, single, dtype)


def load_part(single: SingleFile, part: str, kind: str, dtype: torch.dtype, **changes: Any) -> Any:
    """Build a denoiser or VAE by its diffusers class, with the file's weights.

    `changes` are to the configuration. Raises ModelUnavailable as load_text does.
    """
    import diffusers

    with _without_weights():
        module = getattr(diffusers, kind).from_config({**single.configurations[part], **changes})
    tensors = _tensors(single, part)
    number = len(tensors)
    try:
        state = CONVERTERS[kind](tensors, dict(module.config))
    except KeyError as error:
        raise _incomplete(single, str(error)) from error
    if kind in ("UNet2DConditionModel", "AutoencoderKL") and len(state) != number:
        raise ModelUnavailable(
            f"{single.path} has {number - len(state)} tensors in its {part} that a plain model "
            "of its family has not",
            "use the plain model of the same family",
        )
    return _filled(module, state, single, dtype)


def _tensors(single: SingleFile, part: str) -> State:
    """The tensors of one part, by the rest of their keys; the file is mapped, not read whole."""
    from safetensors import safe_open

    prefix = single.prefixes[part]
    with safe_open(single.path, framework="pt", device="cpu") as file:
        return {
            key.removeprefix(prefix): file.get_tensor(key)
            for key in file.keys()  # noqa: SIM118
            if key.startswith(prefix)
        }


def _filled(module: Any, state: State, single: SingleFile, dtype: torch.dtype) -> Any:
    """Give a module its weights in a precision. Raises ModelUnavailable where they do not fit."""
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - state.keys())
    if missing:
        raise _incomplete(single, missing[0])
    surplus = sorted(state.keys() - wanted.keys())
    if surplus:
        raise ModelUnavailable(
            f"{single.path} holds {surplus[0]}, which a {type(module).__name__} has not",
            "use the plain model of the same family",
        )
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            raise _incomplete(single, f"{name} of shape {tuple(wanted[name].shape)}")
    precise = getattr(module, "_keep_in_fp32_modules", None) or ()
    typed = {
        name: tensor.to(torch.float32 if set(precise) & set(name.split(".")) else dtype)
        for name, tensor in state.items()
    }
    module.load_state_dict(typed, assign=True)
    return module.requires_grad_(False).eval()


def _incomplete(single: SingleFile, what: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"{single.path} lacks {what}", "download the file again, or give the model's folder"
    )


@contextmanager
def _without_weights() -> Iterator[None]:
    """Let modules be built whose parameters take no memory and no time, until the block ends.

    Buffers are made as usual: no file holds those that are computed.
    """
    register = torch.nn.Module.register_parameter

    def on_meta(module: Any, name: str, value: torch.nn.Parameter | None) -> None:
        if value is not None:
            value = torch.nn.Parameter(value.to("meta"), requires_grad=False)
        register(module, name, value)

    torch.nn.Module.register_parameter = on_meta  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        torch.nn.Module.register_parameter = register  # type: ignore[method-assign]


def _unet(tensors: State, configuration: Mapping[str, Any]) -> State:
    from diffusers.loaders.single_file_utils import LDM_UNET_KEY, convert_ldm_unet_checkpoint

    whole = {f"{LDM_UNET_KEY}{key}": tensor for key, tensor in tensors.items()}
    converted: State = convert_ldm_unet_checkpoint(whole, configuration)
    return converted


def _vae(tensors: State, configuration: Mapping[str, Any]) -> State:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    # What some trainers keep beside the weights.
    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith(LEFT_BESIDE)}
    converted: State = convert_ldm_vae_checkpoint(kept, configuration)
    return converted


def _sd3(tensors: State, _configuration: Mapping[str, Any]) -> State:
    from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers

    converted: State = convert_sd3_transformer_checkpoint_to_diffusers(tensors)
    return converted


def _sana(tensors: State, _configuration: Mapping[str, Any]) -> State:
    from diffusers.loaders.single_file_utils import convert_sana_transformer_to_diffusers

    # It takes these two away unread.
    unread = {"pos_embed": torch.empty(0), "y_embedder.y_embedding": torch.empty(0)}
    converted: State = convert_sana_transformer_to_diffusers({**unread, **tensors})
    return converted


LEFT_BESIDE = ("loss.", "model_ema.")
CONVERTERS: dict[str, Convert] = {
    "UNet2DConditionModel": _unet,
    "AutoencoderKL": _vae,
    "SD3Transformer2DModel": _sd3,
    "FluxTransformer2DModel": flux_state,
    "SanaTransformer2DModel": _sana,
}
