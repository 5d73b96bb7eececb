"""Parts of a model off the disk: safetensors only, frozen, without the libraries' chatter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ticli.errors import ModelUnavailable
from ticli.models.memory import memory_explained
from ticli.models.source import ModelSource, weights


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence progress bars and advice of diffusers and transformers; restore them afterwards."""
    import diffusers.utils.logging as diffusers_logging
    import transformers.utils.logging as transformers_logging

    before = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    root = logging.getLogger("huggingface_hub")
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers_logging.set_verbosity(before[0])
        transformers_logging.set_verbosity(before[1])
        root.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def _explained(source: ModelSource, part: str) -> Iterator[None]:
    short = f"not enough memory for the {part} of {source.id}"
    try:
        with memory_explained(short, "close other programs, or use a CPU"), quiet_libraries():
            yield
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelUnavailable(
            f"the {part} of {source.id} cannot be loaded: {first}", "download the model again"
        ) from error


def load_part(source: ModelSource, part: str, dtype: torch.dtype) -> Any:
    """Load "text_encoder", "unet" or "vae" on the CPU, frozen. Raises ModelUnavailable."""
    folder = source.folder / part
    _, variant = weights(folder, source.id)
    options = {"use_safetensors": True, "local_files_only": True, "variant": variant}
    with _explained(source, part):
        if part == "text_encoder":
            from transformers.models.clip.modeling_clip import CLIPTextModel

            module: Any = CLIPTextModel.from_pretrained(folder, dtype=dtype, **options)
        elif part == "unet":
            from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

            module = UNet2DConditionModel.from_pretrained(
                folder, torch_dtype=dtype, low_cpu_mem_usage=False, **options
            )
        else:
            from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

            module = AutoencoderKL.from_pretrained(
                folder, torch_dtype=dtype, low_cpu_mem_usage=False, **options
            )
    return module.requires_grad_(False).eval()


def load_tokenizer(source: ModelSource) -> Any:
    """Load the CLIP tokenizer of a model. Raises ModelUnavailable."""
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    with _explained(source, "tokenizer"):
        return CLIPTokenizer.from_pretrained(source.folder / "tokenizer", local_files_only=True)


def load_scheduler(source: ModelSource) -> Any:
    """Load the noise schedule a model was trained with, as DDPM's. Raises ModelUnavailable."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    with _explained(source, "scheduler"):
        return DDPMScheduler.from_pretrained(source.folder / "scheduler", local_files_only=True)
