"""A loaded model: text to conditioning, photos to latents, noise in and out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ticli.models.conditioning import Conditioning as Conditioning
from ticli.models.conditioning import Encoding
from ticli.models.encoders import FRAMES
from ticli.models.encoders import Rows as Rows
from ticli.models.encoders import TextEncoder as TextEncoder
from ticli.models.families import FAMILIES
from ticli.models.families.family import EncoderPart, Family
from ticli.models.hardware import Hardware
from ticli.models.identifying import ModelSource, configuration, encoder_parts
from ticli.models.loading import (
    load_denoiser,
    load_encoder,
    load_scheduler,
    load_tokenizer,
    load_vae,
    quiet_libraries,
    suit_attention,
)
from ticli.models.savings import NONE, Savings, said
from ticli.models.sparing import place_sparingly, possible_savings
from ticli.models.text import Tokenised, tokenise


@dataclass
class Model:
    """A model without its VAE, which is loaded for as long as it is needed.

    `denoiser` is the U-Net or transformer, or None before `load_denoiser`; `configuration` is its.
    `savings` is what is given up for memory now; `given_up` says in words what was, and what speed,
    and why; each is told to `tell`. `replayer` takes recorded steps, where there is one.
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
        """Tokenise a prompt for every encoder; names in `vectors` are placeholders.

        A `negative` prompt stands without the instruction that some families put before prompts.
        """
        return {
            encoder.key: tokenise(
                encoder.tokenizer, encoder.window, prompt, vectors, _frame(encoder.part, negative)
            )
            for encoder in self.encoders
        }

    def condition(self, batch: Sequence[Mapping[str, Tokenised]], rows: Rows) -> Conditioning:
        """Encode tokenised prompts; rows[name][encoder] is (vectors, width)."""
        encodings = {
            encoder.key: encoder.encode([prompt[encoder.key] for prompt in batch], rows)
            for encoder in self.encoders
        }
        return self.join(encodings)

    def join(self, encodings: Mapping[str, Encoding]) -> Conditioning:
        """What the denoiser reads of every encoder's encoding, on its device in its precision."""
        joined = self.family.condition(encodings, self.configuration)
        there = (self.device, self.hardware.dtype)
        pooled = None if joined.pooled is None else joined.pooled.to(*there)
        mask = None if joined.mask is None else joined.mask.to(self.device)
        return Conditioning(joined.hidden.to(*there), pooled, mask)

    @contextmanager
    def encoders_at_hand(self) -> Iterator[None]:
        """Text encoders on the device for a while, where savings keep them away from it.

        A graph through them must have been used before the context ends.
        """
        if not self.savings.cut:
            yield
            return
        try:
            for encoder in self.encoders:
                encoder.module.to(self.device)
            yield
        finally:
            self._place_encoders()

    def denoise(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, conditioning: Conditioning
    ) -> torch.Tensor:
        """The denoiser's prediction, float32, of the shape of `noisy`."""
        times = self.family.law.times(self.noise_schedule, timesteps, tuple(noisy.shape))
        typed = noisy.to(self.hardware.dtype)
        return self.family.denoise(self.denoiser, typed, times, conditioning).float()

    def add_noise(
        self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """Latents with as much noise as belongs to each of the timesteps: z_t of the papers."""
        return self.family.law.add_noise(self.noise_schedule, latents, noise, timesteps)

    def target(
        self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """What the denoiser should predict of `add_noise` with the same arguments."""
        return self.family.law.target(self.noise_schedule, latents, noise, timesteps)

    def encode(self, vae: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and spread of the scaled latents of (batch, 3, height, width) in [-1, 1]."""
        scale, shift = _scaling(vae)
        output = vae.encode(pixels)
        if not hasattr(output, "latent_dist"):
            # An autoencoder that is not variational has one latent for a picture.
            latent = (output.latent - shift) * scale
            return latent, torch.zeros_like(latent)
        posterior = output.latent_dist
        return (posterior.mean - shift) * scale, posterior.std * scale

    def decode(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """The pictures, about [-1, 1] and (batch, 3, height, width), of scaled latents."""
        scale, shift = _scaling(vae)
        pictures: torch.Tensor = vae.decode(latents.to(vae.dtype) / scale + shift).sample
        return pictures

    def load_denoiser(self) -> None:
        """Load the denoiser onto the device. Raises ModelUnavailable, DeviceFailed."""
        loaded = load_denoiser(self.source, self.hardware.dtype)
        suit_attention(loaded, self.source, self.hardware.dtype, self.device)
        self.denoiser = place_sparingly(loaded, self.savings, self.device)

    @property
    def possible_savings(self) -> frozenset[str]:
        """The rungs of the ladder that do something here."""
        return possible_savings(self.denoiser, self.device)

    def spare(self, savings: Savings, reason: str) -> None:
        """Give up more for memory from now on, say so, and note it."""
        given_up = f"{reason}: {said(savings, self.savings)}"
        self.savings = savings
        # What was recorded holds memory, and addresses of weights that now move.
        self.replayer = None
        self._place_encoders()
        if self.denoiser is not None:
            self.denoiser = place_sparingly(self.denoiser, savings, self.device)
        _collect(self.device)
        self.note_given_up(given_up)

    def note_given_up(self, text: str, why: str = "") -> None:
        """Say what was given up, and keep it for the record without `why`, which may name paths."""
        if text not in self.given_up:
            self.given_up.append(text)
        self.tell(f"{text}: {why}" if why else text)

    def _place_encoders(self) -> None:
        place = torch.device("cpu") if self.savings.cut else self.device
        for encoder in self.encoders:
            encoder.module.to(place)

    def release_encoders(self) -> None:
        """Let the text encoders go, once every prompt is encoded."""
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
        """A diffusers pipeline over these parts with its VAE loaded.

        It has no tokenizer and no text encoder: it takes embeddings, and cleans no prompt.
        """
        with quiet_libraries():
            import diffusers

        with self.vae() as vae, quiet_libraries():
            parts = {self.family.denoiser[0]: self.denoiser, "vae": vae, "scheduler": sampler}
            absent = dict.fromkeys(_texts(self.family))
            if self.family.name in ("sd1", "sd2"):
                absent |= {"safety_checker": None, "feature_extractor": None}
                parts["requires_safety_checker"] = False
            pipeline = getattr(diffusers, self.family.pipeline)(**parts, **absent)
            pipeline.set_progress_bar_config(disable=True)
            yield pipeline


def load_model(source: ModelSource, hardware: Hardware, savings: Savings = NONE) -> Model:
    """Load a model frozen and in evaluation mode, its text encoders one after the other.

    Raises ModelUnavailable where its files are damaged, DeviceFailed where memory is short.
    """
    model = load_text(source, hardware, savings)
    model.load_denoiser()
    return model


def load_text(source: ModelSource, hardware: Hardware, savings: Savings = NONE) -> Model:
    """Load a model's text encoders, its denoiser being left for later.

    Raises as load_model does.
    """
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
    """CLIP is small and stays in float32; large encoders take the model's precision.

    Gemma overflows in float16, and takes bfloat16 instead.
    """
    if part.kind == "clip" or hardware.dtype is torch.float32:
        return torch.float32
    return torch.bfloat16 if part.kind == "gemma" else hardware.dtype


def _frame(part: EncoderPart, negative: bool) -> Any:
    instruction = "" if negative or part.instruction is None else part.instruction()
    return replace(FRAMES[part.kind], lower=part.lower, instruction=instruction)


def _texts(family: Family) -> list[str]:
    return [name for part in family.encoders for name in (part.folder, part.tokenizer)]


def _scaling(vae: Any) -> tuple[Any, Any]:
    """Scale and shift of a VAE's latents, by channel where its configuration gives them so."""
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
