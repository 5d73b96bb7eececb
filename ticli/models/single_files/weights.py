"""Parts of a model in a single file: tensors renamed, modules built and filled."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

from ticli.errors import ModelUnavailable
from ticli.families.family import State
from ticli.models.single_files.recognising import is_open_clip, read_contents

if TYPE_CHECKING:
    from ticli.models.single_files.recognising import SingleFile

Convert = Callable[[State, Mapping[str, Any]], State]
LAYER = re.compile(r"transformer\.resblocks\.(\d+)\.")
PROJECTION = "text_projection.weight"
PLAIN = "use the plain model of the same family"
T5_TABLE, T5_COPY = "shared.weight", "encoder.embed_tokens.weight"
# What some trainers keep beside a VAE's weights.
LEFT_BESIDE = ("loss.", "model_ema.")


def load_part(
    single: SingleFile,
    part: str,
    kind: Any,
    dtype: torch.dtype,
    convert: Convert | None,
    **changes: Any,
) -> Any:
    """Build a part by its class of diffusers or transformers, with the file's weights.

    `convert` renames the tensors of a denoiser or VAE; without it, the part is a text encoder.
    `changes` are to the configuration. Raises ModelUnavailable if tensors are missing, have another
    shape, or belong to no plain model.
    """
    settings = {**single.configurations[part], **changes}
    with _without_weights():
        module = kind.from_config(settings) if convert else kind(kind.config_class(**settings))
    prefix = single.prefixes[part]
    keys = read_contents(single.path, str(single.path)).under(prefix)
    # The file is mapped, not read whole.
    with safe_open(single.path, framework="pt", device="cpu") as file:
        tensors = {key: file.get_tensor(f"{prefix}{key}") for key in keys}
    try:
        state = convert(tensors, dict(module.config)) if convert else _text_state(tensors, module)
    except KeyError as error:
        raise _incomplete(single, str(error)) from error
    if kind.__name__ in ("UNet2DConditionModel", "AutoencoderKL") and len(state) != len(keys):
        raise ModelUnavailable(
            f"{single.path} has {len(keys) - len(state)} tensors in its {part} that a plain model "
            "of its family does not have",
            PLAIN,
        )
    wanted = module.state_dict()
    if missing := sorted(wanted.keys() - state.keys()):
        raise _incomplete(single, missing[0])
    if surplus := sorted(state.keys() - wanted.keys()):
        raise ModelUnavailable(
            f"{single.path} holds {surplus[0]}, which a {kind.__name__} does not have", PLAIN
        )
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            raise _incomplete(single, f"{name} of shape {tuple(wanted[name].shape)}")
    precise = set(getattr(module, "_keep_in_fp32_modules", None) or ())
    typed = {
        name: tensor.to(torch.float32 if precise & set(name.split(".")) else dtype)
        for name, tensor in state.items()
    }
    module.load_state_dict(typed, assign=True)
    return module.requires_grad_(False).eval()


def _text_state(tensors: State, module: Any) -> State:
    """A text encoder's tensors in the names of transformers."""
    if module.config.model_type == "t5":
        # The token table stands under both names.
        table = tensors[T5_TABLE if T5_TABLE in tensors else T5_COPY]
        return {**tensors, T5_TABLE: table, T5_COPY: table}
    if is_open_clip(tensors):
        tensors = _open_clip_state(tensors, module)
    names = module.state_dict()
    # Some versions of transformers put a prefix before most keys.
    prefix = "text_model." if any(name.startswith("text_model.") for name in names) else ""
    state = {
        key if key == PROJECTION else prefix + key.removeprefix("text_model."): tensor
        for key, tensor in tensors.items()
        # Older versions stored these beside the weights.
        if not key.endswith("position_ids") and key != "logit_scale"
    }
    if PROJECTION not in names:
        state.pop(PROJECTION, None)
    elif PROJECTION not in state:
        # Stable Diffusion 3 uses its small CLIP's pooled text without a projection.
        state[PROJECTION] = torch.eye(module.config.hidden_size)
    return state


def _open_clip_state(tensors: State, module: Any) -> State:
    """OpenCLIP's tensors in transformers' names, without the layers that are not read."""
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    read = {
        key: tensor
        for key, tensor in tensors.items()
        if not (layer := LAYER.match(key)) or int(layer[1]) < module.config.num_hidden_layers
    }
    found: State = convert_open_clip_checkpoint(module, read, prefix="")
    if PROJECTION in tensors:
        # Some files made of folders keep it as transformers does.
        found[PROJECTION] = tensors[PROJECTION]
    return found


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


def vae_state(tensors: State, configuration: Mapping[str, Any]) -> Any:
    """A VAE's tensors in diffusers' names, without what trainers keep beside them."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith(LEFT_BESIDE)}
    return convert_ldm_vae_checkpoint(kept, configuration)
