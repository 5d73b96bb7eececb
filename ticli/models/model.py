"""A loaded model: text to conditioning, photos to latents, noise added and predicted."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ticli.errors import Conflict, ModelUnavailable, TiError, first_line
from ticli.families import FAMILIES
from ticli.families.family import KINDS, EncoderPart, Encoding, Family
from ticli.families.family import Conditioning as Conditioning
from ticli.models.folder import AGAIN, ModelSource, Tower, configuration, encoder_parts, weights
from ticli.models.hardware import Hardware
from ticli.models.memory import memory_explained
from ticli.models.memory_blocks import place_sparingly, possible_savings
from ticli.models.memory_ladder import NONE, Savings, said
from ticli.models.sentencepiece import FILE as SENTENCEPIECE
from ticli.models.sentencepiece import build_tokenizer, has_sentencepiece_only
from ticli.models.single_files.weights import Convert, load_part, vae_state
from ticli.models.text_encoder import Rows as Rows
from ticli.models.text_encoder import TextEncoder as TextEncoder
from ticli.models.text_encoder import Tokenised, tokenise

if TYPE_CHECKING:
    from PIL import Image


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence the messages and progress bars of diffusers and transformers for a while."""
    import diffusers.utils.logging as diffusers_logging
    import transformers.utils.logging as transformers_logging

    root = logging.getLogger("huggingface_hub")
    levels = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity(), root.level
    bars = transformers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers_logging.set_verbosity(levels[0])
        transformers_logging.set_verbosity(levels[1])
        root.setLevel(levels[2])
        if bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def loading(name: str, part: str) -> Iterator[None]:
    """Explain what goes wrong while a part is loaded. Raises ModelUnavailable, DeviceFailed."""
    short = f"not enough memory for the {part} of {name}"
    try:
        with memory_explained(short, "close other programs, or use a CPU"), quiet_libraries():
            yield
    except TiError:
        raise
    except Exception as error:
        # Readers of weights and tokenizers raise types of their own with no other common base.
        said = f"the {part} of {name} cannot be loaded: {first_line(error)}"
        raise ModelUnavailable(said, AGAIN) from error


def load_encoder(source: ModelSource, part: EncoderPart, dtype: torch.dtype) -> Any:
    """Load a text encoder on the CPU, frozen. Raises ModelUnavailable, DeviceFailed."""
    name = KINDS[part.kind].projected if part.projected else KINDS[part.kind].model
    return _load(source, part.folder, "transformers", name, dtype)


def load_denoiser(source: ModelSource, dtype: torch.dtype) -> Any:
    """Load the U-Net or transformer on the CPU, frozen. Raises ModelUnavailable, DeviceFailed."""
    family = FAMILIES[source.family]
    folder, name = family.denoiser
    convert = family.single_file.state if family.single_file else None
    extra = family.in_half if dtype is torch.float16 else {}
    return _load(source, folder, "diffusers", name, dtype, convert, **extra)


def load_vae(source: ModelSource) -> Any:
    """Load the VAE as the denoiser, in float32, since some VAEs overflow in half precision."""
    name = FAMILIES[source.family].vae
    return _load(source, "vae", "diffusers", name, torch.float32, vae_state)


def _load(
    source: ModelSource,
    part: str,
    library: str,
    name: str,
    dtype: torch.dtype,
    convert: Convert | None = None,
    **options: Any,
) -> Any:
    """Load a part by its class; `convert` gives a single file's tensors the names of diffusers."""
    with loading(source.id, part):
        # Some modules of diffusers complain that torchvision is missing, which nothing here needs.
        kind = getattr(import_module(library), name)
        if source.single and source.single.holds(part):
            return load_part(source.single, part, kind, dtype, convert, **options)
        place = source.place(part)
        _, variant = weights(place, source.id)
        if library == "diffusers":
            options |= {"torch_dtype": dtype, "low_cpu_mem_usage": False}
        else:
            options["dtype"] = dtype
        module = load_whole(kind, place, variant=variant, **options)
        # diffusers may leave all in the file's precision if one buffer has that precision (SD 3).
        for parameter in module.parameters() if library == "diffusers" else ():
            parameter.data = parameter.data.to(dtype)
        return module


def load_whole(kind: Any, folder: Path, **options: Any) -> Any:
    """Load a class of diffusers or transformers from its folder: safetensors only, frozen.

    Raises ModelUnavailable if weights are missing: the libraries would fill them with random ones.
    """
    module, found = kind.from_pretrained(
        folder, use_safetensors=True, local_files_only=True, output_loading_info=True, **options
    )
    missing = sorted(map(str, found["missing_keys"])) + sorted(map(str, found["mismatched_keys"]))
    if missing:
        raise ModelUnavailable(
            f"{folder} lacks {missing[0]}, which a {kind.__name__} has",
            "give a folder with all of the weights",
        )
    return module.requires_grad_(False).eval()


def suit_attention(denoiser: Any, source: ModelSource, dtype: torch.dtype, device: Any) -> None:
    """Let a U-Net with small attention maps hold them whole, in bfloat16 on a CPU.

    There the backward pass of PyTorch's fused attention takes five times as long (torch 2.13).
    """
    if device.type == "cpu" and dtype is torch.bfloat16 and source.has_small_maps:
        from diffusers.models.attention_processor import AttnProcessor

        denoiser.set_attn_processor(AttnProcessor())


def load_tokenizer(source: ModelSource, part: EncoderPart | None = None) -> Any:
    """Load an encoder's tokenizer, by default the first. Raises ModelUnavailable."""
    import transformers

    chosen = part or FAMILIES[source.family].encoders[0]
    folder = source.place(chosen.tokenizer)
    pads = source.single.pads if source.single else {}
    extra = {"pad_token": pads[chosen.tokenizer]} if chosen.tokenizer in pads else {}
    with loading(source.id, chosen.tokenizer):
        if has_sentencepiece_only(folder):
            return build_tokenizer(folder / SENTENCEPIECE)
        return getattr(transformers, KINDS[chosen.kind].tokenizer).from_pretrained(
            folder, local_files_only=True, **extra
        )


def load_scheduler(source: ModelSource) -> Any:
    """Load the noise schedule of a model as its family's law needs it. Raises ModelUnavailable."""
    import diffusers

    kind = FAMILIES[source.family].law.schedule
    settings = configuration(source, "scheduler", "scheduler_config.json")
    if "flow_shift" in settings:
        # Solvers that serve several kinds of models name it differently.
        settings["shift"] = settings["flow_shift"]
    with loading(source.id, "scheduler"):
        return getattr(diffusers, kind).from_config(settings)


@dataclass
class Model:
    """A model without its VAE, which is loaded only while it is needed.

    `denoiser` is the U-Net or transformer, or None before `load_denoiser`; `configuration` is its
    settings. `savings` is what is given up for memory now. `given_up` lists in words what was given
    up and why; `tell` is called with each. `replayer` takes recorded steps, if there are any.
    """

    source: ModelSource
    hardware: Hardware
    encoders: tuple[TextEncoder, ...]
    denoiser: Any
    noise_schedule: Any
    configuration: Mapping[str, Any]
    savings: Savings = NONE
    given_up: list[str] = field(default_factory=list)
    tell: Callable[[str], None] = lambda text: None
    replayer: Any = None

    @property
    def device(self) -> torch.device:
        return self.hardware.device

    @property
    def family(self) -> Family:
        return FAMILIES[self.source.family]

    @property
    def prediction(self) -> str:
        """What the denoiser predicts: "epsilon", "v_prediction" or "flow"."""
        return self.family.law.prediction(self.noise_schedule)

    @property
    def channels(self) -> int:
        """The channels of a latent."""
        return self.family.details(self.configuration).channels

    def tokenise(
        self, prompt: str, vectors: Mapping[str, int], *, negative: bool = False
    ) -> dict[str, Tokenised]:
        """Tokenise a prompt for every encoder, as `text_encoder.tokenise` does for one."""
        return {
            each.key: tokenise(
                each.tokenizer, each.window, prompt, vectors, each.part, negative=negative
            )
            for each in self.encoders
        }

    def condition(self, batch: Sequence[Mapping[str, Tokenised]], rows: Rows) -> Conditioning:
        """Encode tokenised prompts; rows[name][encoder] is (vectors, width)."""
        encodings = {
            encoder.key: encoder.encode([prompt[encoder.key] for prompt in batch], rows)
            for encoder in self.encoders
        }
        return self.join(encodings)

    def join(self, encodings: Mapping[str, Encoding]) -> Conditioning:
        """Join the encodings as the denoiser reads them, on its device and in its precision."""
        joined = self.family.condition(encodings, self.configuration)
        there = (self.device, self.hardware.dtype)
        pooled = None if joined.pooled is None else joined.pooled.to(*there)
        mask = None if joined.mask is None else joined.mask.to(self.device)
        return Conditioning(joined.hidden.to(*there), pooled, mask)

    @contextmanager
    def encoders_at_hand(self) -> Iterator[None]:
        """Keep the text encoders on the device, whatever the savings, while a graph needs them."""
        if not self.savings.cut:
            yield
            return
        try:
            for encoder in self.encoders:
                encoder.module.to(self.device)
            yield
        finally:
            self._place_encoders()

    def denoise(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """The denoiser's prediction, float32, of the shape of `noisy`."""
        times = self.family.law.times(self.noise_schedule, timesteps, tuple(noisy.shape))
        typed = noisy.to(self.hardware.dtype)
        return self.family.denoise(self.denoiser, typed, times, conditioning).float()

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Latents with the noise of each timestep: z_t in the papers."""
        return self.family.law.add_noise(self.noise_schedule, latents, noise, timesteps)

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the denoiser should predict for `add_noise` with the same arguments."""
        return self.family.law.target(self.noise_schedule, latents, noise, timesteps)

    def encode(self, vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the scaled latents of (batch, 3, height, width) in [-1, 1]."""
        scale, shift = _scaling(vae)
        output = vae.encode(pixels)
        if not hasattr(output, "latent_dist"):
            # An autoencoder that is not variational gives one latent per picture.
            latent = (output.latent - shift) * scale
            return latent, torch.zeros_like(latent)
        posterior = output.latent_dist
        return (posterior.mean - shift) * scale, posterior.std * scale

    def decode(self, vae: Any, latents: Tensor) -> Any:
        """The pictures, about [-1, 1] and (batch, 3, height, width), of scaled latents."""
        scale, shift = _scaling(vae)
        return vae.decode(latents.to(vae.dtype) / scale + shift).sample

    def load_denoiser(self) -> None:
        """Load the denoiser onto the device. Raises ModelUnavailable, DeviceFailed."""
        loaded = load_denoiser(self.source, self.hardware.dtype)
        suit_attention(loaded, self.source, self.hardware.dtype, self.device)
        self.denoiser = place_sparingly(loaded, self.savings, self.device)

    @property
    def possible_savings(self) -> frozenset[str]:
        """The rungs of the ladder that save memory here."""
        return possible_savings(self.denoiser, self.device)

    def spare(self, savings: Savings, reason: str) -> None:
        """Give up more for memory from now on, report it and record it."""
        given_up = f"{reason}: {said(savings, self.savings)}"
        self.savings = savings
        # Recorded steps hold memory, and addresses of weights that move now.
        self.replayer = None
        self._place_encoders()
        if self.denoiser is not None:
            self.denoiser = place_sparingly(self.denoiser, savings, self.device)
        _collect(self.device)
        self.note_given_up(given_up)

    def note_given_up(self, text: str, why: str = "") -> None:
        """Report what was given up; the record leaves out `why`, which may name paths."""
        if text not in self.given_up:
            self.given_up.append(text)
        self.tell(f"{text}: {why}" if why else text)

    def _place_encoders(self) -> None:
        place = torch.device("cpu") if self.savings.cut else self.device
        for encoder in self.encoders:
            encoder.module.to(place)

    def release_encoders(self) -> None:
        """Free the text encoders, once every prompt is encoded."""
        self.encoders = ()
        _collect(self.device)

    @contextmanager
    def vae(self, device: torch.device | None = None) -> Iterator[Any]:
        """The VAE in float32, on a device, by default this model's, until the context ends."""
        vae = load_vae(self.source).to(device or self.device)
        try:
            yield vae
        finally:
            del vae
            _collect(self.device)

    @contextmanager
    def pipeline(self, sampler: Any) -> Iterator[Any]:
        """A diffusers pipeline of these parts and the VAE. It takes embeddings and no prompt."""
        with self.vae() as vae, quiet_libraries():
            import diffusers

            parts = {self.family.denoiser[0]: self.denoiser, "vae": vae, "scheduler": sampler}
            for part in self.family.encoders:
                parts |= {part.folder: None, part.tokenizer: None}
            kind = getattr(diffusers, self.family.pipeline)
            pipeline = kind(**parts, **self.family.left_out)
            pipeline.set_progress_bar_config(disable=True)
            yield pipeline


def load_model(source: ModelSource, hardware: Hardware, savings: Savings = NONE) -> Model:
    """Load a model, frozen and in evaluation mode. Raises ModelUnavailable, DeviceFailed."""
    model = load_text(source, hardware, savings)
    model.load_denoiser()
    return model


def load_text(source: ModelSource, hardware: Hardware, savings: Savings = NONE) -> Model:
    """Load a model's text encoders and leave the denoiser for later. Raises as load_model does."""
    place = torch.device("cpu") if savings.cut else hardware.device
    encoders = tuple(
        TextEncoder(
            key=part.key,
            module=load_encoder(source, part, encoder_dtype(part, hardware)).to(place),
            tokenizer=load_tokenizer(source, part),
            window=source.windows[part.key],
            part=part,
        )
        for part in encoder_parts(source)
    )
    found = configuration(source, FAMILIES[source.family].denoiser[0])
    return Model(source, hardware, encoders, None, load_scheduler(source), found, savings)


def encoder_dtype(part: EncoderPart, hardware: Hardware) -> torch.dtype:
    """The precision of an encoder: CLIP's stays float32, since it is small."""
    if part.kind == "clip" or hardware.dtype is torch.float32:
        return torch.float32
    # Gemma overflows in float16.
    return torch.bfloat16 if part.kind == "gemma" else hardware.dtype


def _scaling(vae: Any) -> tuple[Any, Any]:
    """Scale and shift of a VAE's latents, one per channel if its configuration says so."""
    config = vae.config
    mean, spread = config.get("latents_mean"), config.get("latents_std")
    if mean is not None and spread is not None:
        by_channel = torch.tensor([mean, spread], device=vae.device)[:, None, :, None, None]
        return config.scaling_factor / by_channel[1], by_channel[0]
    return config.scaling_factor, config.get("shift_factor") or 0.0


def _collect(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


# What half precision on disk may have rounded away, relative to the table's largest number.
ROUNDED = 1e-2


@dataclass(frozen=True)
class ClipPair:
    """A CLIP's text and picture encoder in float32; `encoder` has the key of the model's own."""

    encoder: TextEncoder
    vision: Any
    tower: Tower

    def texts(self, prompts: Sequence[Tokenised], rows: Rows) -> Tensor:
        """Unit vectors of prompts, (batch, width); gradients flow to the rows."""
        pooled = self.encoder.encode(prompts, rows).pooled
        if pooled is None:
            raise TypeError("an encoder that pools gave no pooled text")
        return normalize(pooled, dim=1)

    def pictures(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Unit vectors of square RGB pictures of the tower's size, (batch, width)."""
        mean, spread = (torch.tensor(values) for values in (self.tower.mean, self.tower.spread))
        pixels = np.stack([np.asarray(picture, dtype=np.float32) / 255 for picture in pictures])
        batch = ((torch.from_numpy(pixels) - mean) / spread).permute(0, 3, 1, 2)
        with torch.no_grad():
            found = self.vision(batch.to(self.encoder.table.device)).image_embeds
        return normalize(found, dim=1)


def load_clip_pair(model: Model, tower: Tower) -> ClipPair:
    """Load both halves beside a model.

    Raises ModelUnavailable, DeviceFailed, and Conflict if the text half has another vocabulary
    than the model: vectors for one would mean nothing to the other.
    """
    (own,) = (encoder for encoder in model.encoders if encoder.key == tower.part.key)
    with loading(str(tower.folder), "CLIP"):
        from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection

        text = load_whole(CLIPTextModelWithProjection, tower.text, dtype=torch.float32)
        vision = load_whole(CLIPVisionModelWithProjection, tower.folder, dtype=torch.float32)
    part = replace(tower.part, projected=True, pooled=True)
    encoder = TextEncoder(own.key, text.to(model.device), own.tokenizer, own.window, part)
    table, wanted = encoder.table.float(), own.table.float()
    if table.shape != wanted.shape or (table - wanted).abs().max() > ROUNDED * wanted.abs().max():
        raise Conflict(
            f"the CLIP in {tower.text} has other token vectors than {model.source.id}",
            "give the CLIP that the model's text encoder comes from",
        )
    return ClipPair(encoder, vision.to(model.device), tower)
