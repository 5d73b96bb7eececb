"""Parts of a model in a single file: tensors renamed, modules built and filled."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ticli.errors import ModelUnavailable

if TYPE_CHECKING:
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
    """Drop what older versions of transformers stored beside the weights."""
    kept = {
        key.removeprefix("text_model."): tensor
        for key, tensor in tensors.items()
        if not key.endswith("position_ids") and key not in ("logit_scale", PROJECTION)
    }
    if PROJECTION in tensors:
        kept[PROJECTION] = tensors[PROJECTION]
    return kept


def open_clip_state(tensors: State, configuration: Any) -> State:
    """Split OpenCLIP's joined query, key and value, and drop layers that are not read."""
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
    """Store the token table under both names, as transformers does."""
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


# Modules are built without weights, then filled with those of the file.

Convert = Callable[[State, Mapping[str, Any]], State]
# What some trainers keep beside a VAE's weights.
LEFT_BESIDE = ("loss.", "model_ema.")


def load_text(single: SingleFile, part: str, kind: str, dtype: torch.dtype) -> Any:
    """Build a text encoder by its transformers class, with the file's weights.

    Raises ModelUnavailable if tensors are missing or have another shape.
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
        # Stable Diffusion 3 uses its small CLIP's pooled text without a projection.
        state[PROJECTION] = torch.eye(configuration["hidden_size"])
    return _filled(module, state, single, dtype)


def load_part(
    single: SingleFile,
    part: str,
    kind: str,
    dtype: torch.dtype,
    *,
    convert: Convert,
    **changes: Any,
) -> Any:
    """Build a denoiser or VAE by its diffusers class, with the file's weights.

    `convert` renames the tensors; `changes` are to the configuration. Raises ModelUnavailable as
    load_text does.
    """
    import diffusers

    with _without_weights():
        module = getattr(diffusers, kind).from_config({**single.configurations[part], **changes})
    tensors = _tensors(single, part)
    number = len(tensors)
    try:
        state = convert(tensors, dict(module.config))
    except KeyError as error:
        raise _incomplete(single, str(error)) from error
    if kind in ("UNet2DConditionModel", "AutoencoderKL") and len(state) != number:
        raise ModelUnavailable(
            f"{single.path} has {number - len(state)} tensors in its {part} that a plain model "
            "of its family does not have",
            "use the plain model of the same family",
        )
    return _filled(module, state, single, dtype)


def _tensors(single: SingleFile, part: str) -> State:
    """The tensors of one part without their prefix; the file is mapped, not read whole."""
    from safetensors import safe_open

    prefix = single.prefixes[part]
    with safe_open(single.path, framework="pt", device="cpu") as file:
        return {
            key.removeprefix(prefix): file.get_tensor(key)
            for key in file.keys()  # noqa: SIM118
            if key.startswith(prefix)
        }


def _filled(module: Any, state: State, single: SingleFile, dtype: torch.dtype) -> Any:
    """Fill a module with its weights. Raises ModelUnavailable if they do not fit."""
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - state.keys())
    if missing:
        raise _incomplete(single, missing[0])
    surplus = sorted(state.keys() - wanted.keys())
    if surplus:
        raise ModelUnavailable(
            f"{single.path} holds {surplus[0]}, which a {type(module).__name__} does not have",
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
    """Build modules whose parameters take no memory and no time.

    Buffers are made as usual, since files do not hold the computed ones.
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


def vae_state(tensors: State, configuration: Mapping[str, Any]) -> State:
    """A VAE's tensors renamed as diffusers names them, without what trainers keep beside them."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith(LEFT_BESIDE)}
    converted: State = convert_ldm_vae_checkpoint(kept, configuration)
    return converted
