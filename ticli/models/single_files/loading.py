"""Parts of a model out of a single file: built without weights, then given the file's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from ticli.errors import ModelUnavailable
from ticli.models.single_files.flux import flux_state
from ticli.models.single_files.single_file import SingleFile
from ticli.models.single_files.texts import PROJECTION, State, clip_state, open_clip_state, t5_state

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
