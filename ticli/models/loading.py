"""Parts of a model off the disk: safetensors only, frozen, without the libraries' chatter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ticli.errors import ModelUnavailable, TiError, first_line
from ticli.models.families import FAMILIES
from ticli.models.families.family import EncoderPart
from ticli.models.files import weights
from ticli.models.identifying import ModelSource, configuration
from ticli.models.memory import memory_explained
from ticli.models.sentencepiece import FILE as SENTENCEPIECE
from ticli.models.sentencepiece import build_tokenizer, read_vocabulary
from ticli.models.single_files import loading as single_files

ENCODERS = {
    ("clip", False): "CLIPTextModel",
    ("clip", True): "CLIPTextModelWithProjection",
    ("t5", False): "T5EncoderModel",
    ("gemma", False): "Gemma2Model",
}
TOKENIZERS = {"clip": "CLIPTokenizer", "t5": "T5TokenizerFast", "gemma": "GemmaTokenizerFast"}


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
def _explained(name: str, part: str) -> Iterator[None]:
    short = f"not enough memory for the {part} of {name}"
    try:
        with memory_explained(short, "close other programs, or use a CPU"), quiet_libraries():
            yield
    except TiError:
        raise
    except Exception as error:
        # The readers of weights and tokenizers raise types of their own that share no other root.
        first = first_line(error)
        raise ModelUnavailable(
            f"the {part} of {name} cannot be loaded: {first}", "download the model again"
        ) from error


def load_encoder(source: ModelSource, part: EncoderPart, dtype: torch.dtype) -> Any:
    """Load a text encoder on the CPU, frozen. Raises ModelUnavailable, DeviceFailed."""
    import transformers

    name = ENCODERS[part.kind, part.projected]
    if source.single and source.single.holds(part.folder):
        with _explained(source.id, part.folder):
            return single_files.load_text(source.single, part.folder, name, dtype)
    folder = source.place(part.folder)
    _, variant = weights(folder, source.id)
    with _explained(source.id, part.folder):
        return _whole(getattr(transformers, name), folder, dtype=dtype, variant=variant)


def load_folder(folder: Path, name: str) -> Any:
    """Load a transformers model by its class from its own folder: on the CPU, frozen, float32.

    Raises ModelUnavailable, DeviceFailed.
    """
    import transformers

    with _explained(str(folder), name):
        return _whole(getattr(transformers, name), folder, dtype=torch.float32)


def _whole(kind: Any, folder: Path, **options: Any) -> Any:
    """Load a model of a class of the libraries from its folder: safetensors, frozen.

    Refuses weights that the libraries would silently fill up at random. Raises ModelUnavailable.
    """
    module, found = kind.from_pretrained(
        folder,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        **options,
    )
    lacking = sorted(map(str, found["missing_keys"])) + sorted(map(str, found["mismatched_keys"]))
    if lacking:
        raise ModelUnavailable(
            f"{folder} lacks {lacking[0]}, which a {kind.__name__} has",
            "give a folder that holds all of it",
        )
    return module.requires_grad_(False).eval()


def load_denoiser(source: ModelSource, dtype: torch.dtype) -> Any:
    """Load the U-Net or transformer on the CPU, frozen. Raises ModelUnavailable, DeviceFailed."""
    folder, name = FAMILIES[source.family].denoiser
    # Its attention overflows in float16 unless it is taken in float32 (diffusers, SD 2.1).
    upcast = source.family == "sd2" and dtype is torch.float16
    extra = {"upcast_attention": True} if upcast else {}
    return _from_diffusers(source, folder, name, {"torch_dtype": dtype, **extra})


def suit_attention(denoiser: Any, source: ModelSource, dtype: torch.dtype, device: Any) -> None:
    """Have a U-Net with small attention maps hold them whole, for bfloat16 on a CPU.

    The backward pass of PyTorch's fused attention takes five times as long there (torch 2.13).
    """
    if device.type == "cpu" and dtype is torch.bfloat16 and source.has_small_maps:
        from diffusers.models.attention_processor import AttnProcessor

        denoiser.set_attn_processor(AttnProcessor())


def load_vae(source: ModelSource) -> Any:
    """Load the VAE on the CPU in float32, frozen: in half precision some overflow.

    Raises ModelUnavailable, DeviceFailed.
    """
    name = FAMILIES[source.family].vae
    return _from_diffusers(source, "vae", name, {"torch_dtype": torch.float32})


def _from_diffusers(source: ModelSource, folder: str, name: str, options: dict[str, Any]) -> Any:
    with quiet_libraries():
        # Some of its modules advise torchvision, which nothing here needs.
        import diffusers

    if source.single and source.single.holds(folder):
        dtype, changes = options.pop("torch_dtype"), options
        with _explained(source.id, folder):
            return single_files.load_part(source.single, folder, name, dtype, **changes)
    place = source.place(folder)
    _, variant = weights(place, source.id)
    with _explained(source.id, folder):
        kind = getattr(diffusers, name)
        return _whole(kind, place, low_cpu_mem_usage=False, variant=variant, **options)


def load_tokenizer(source: ModelSource, part: EncoderPart | None = None) -> Any:
    """Load an encoder's tokenizer, by default the first one's. Raises ModelUnavailable."""
    import transformers

    chosen = part or FAMILIES[source.family].encoders[0]
    folder = source.place(chosen.tokenizer)
    pads = source.single.pads if source.single else {}
    extra = {"pad_token": pads[chosen.tokenizer]} if chosen.tokenizer in pads else {}
    with _explained(source.id, chosen.tokenizer):
        if (folder / SENTENCEPIECE).is_file() and not (folder / "tokenizer.json").is_file():
            return build_tokenizer(read_vocabulary(folder / SENTENCEPIECE))
        return getattr(transformers, TOKENIZERS[chosen.kind]).from_pretrained(
            folder, local_files_only=True, **extra
        )


def load_scheduler(source: ModelSource) -> Any:
    """Load the noise schedule a model was trained with, in the form its family's law takes.

    Raises ModelUnavailable.
    """
    import diffusers

    kind = FAMILIES[source.family].law.schedule
    settings = configuration(source, "scheduler", "scheduler_config.json")
    if "flow_shift" in settings:
        # Solvers that also do other models have another name for it.
        settings["shift"] = settings["flow_shift"]
    with _explained(source.id, "scheduler"):
        return getattr(diffusers, kind).from_config(settings)
