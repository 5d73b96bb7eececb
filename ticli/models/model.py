"""A loaded model: text to conditioning, photos to latents, noise in and out."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ticli.models.hardware import Hardware
from ticli.models.loading import load_part, load_scheduler, load_tokenizer, quiet_libraries
from ticli.models.source import ModelSource
from ticli.models.text import Tokenised, tokenise

Rows = Mapping[str, Mapping[str, torch.Tensor]]


@dataclass(frozen=True)
class Conditioning:
    """What the denoiser reads of a batch of prompts: `hidden` is (batch, window, width)."""

    hidden: torch.Tensor


@dataclass(frozen=True)
class TextEncoder:
    """One frozen text encoder with its tokenizer; `key` is its name in an Embedding."""

    key: str
    module: Any
    tokenizer: Any
    window: int

    @property
    def table(self) -> torch.Tensor:
        """The vocabulary's vectors, (words, width), float32."""
        weight: torch.Tensor = self.module.get_input_embeddings().weight
        return weight

    def hidden(self, batch: Sequence[Tokenised], rows: Rows) -> torch.Tensor:
        """Encode a batch, the vectors of `rows` standing in their slots: (batch, window, width).

        Gradients flow to the rows and to nothing else.
        """
        ids = torch.tensor([prompt.ids for prompt in batch], device=self.table.device)
        with self._placed(batch, rows):
            output: torch.Tensor = self.module(ids).last_hidden_state
        return output

    @contextmanager
    def _placed(self, batch: Sequence[Tokenised], rows: Rows) -> Iterator[None]:
        """Put vectors into the output of the token table for one call, then unhook."""
        slots = [(row, slot) for row, prompt in enumerate(batch) for slot in prompt.slots]
        if not slots:
            yield
            return
        device = self.table.device
        where = (
            torch.tensor([row for row, _ in slots], device=device),
            torch.tensor([slot.position for _, slot in slots], device=device),
        )
        vectors = torch.stack([rows[slot.concept][self.key][slot.vector] for _, slot in slots])

        def put(_module: Any, _args: Any, output: torch.Tensor) -> torch.Tensor:
            return output.index_put(where, vectors.to(output.device, output.dtype))

        handle = self.module.get_input_embeddings().register_forward_hook(put)
        try:
            yield
        finally:
            handle.remove()


@dataclass
class Model:
    """A Stable Diffusion model without its VAE, which is loaded for as long as it is needed."""

    source: ModelSource
    hardware: Hardware
    encoders: tuple[TextEncoder, ...]
    denoiser: Any
    noise_schedule: Any

    @property
    def device(self) -> torch.device:
        return self.hardware.device

    def tokenise(self, prompt: str, vectors: Mapping[str, int]) -> dict[str, Tokenised]:
        """Tokenise a prompt for every encoder; names in `vectors` are placeholders."""
        return {
            encoder.key: tokenise(encoder.tokenizer, encoder.window, prompt, vectors)
            for encoder in self.encoders
        }

    def condition(self, batch: Sequence[Mapping[str, Tokenised]], rows: Rows) -> Conditioning:
        """Encode tokenised prompts; rows[name][encoder] is (vectors, width)."""
        (encoder,) = self.encoders
        hidden = encoder.hidden([prompt[encoder.key] for prompt in batch], rows)
        return Conditioning(hidden.to(self.hardware.dtype))

    def denoise(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, conditioning: Conditioning
    ) -> torch.Tensor:
        """The denoiser's prediction, float32, of the shape of `noisy`."""
        output: torch.Tensor = self.denoiser(
            noisy.to(self.hardware.dtype), timesteps, conditioning.hidden
        ).sample
        return output.float()

    def add_noise(
        self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """Latents with as much noise as belongs to each of the timesteps: z_t of the papers."""
        noisy: torch.Tensor = self.noise_schedule.add_noise(latents, noise, timesteps)
        return noisy

    def encode(self, vae: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and spread of the scaled latents of (batch, 3, height, width) in [-1, 1]."""
        scale, shift = vae.config.scaling_factor, vae.config.shift_factor or 0.0
        posterior = vae.encode(pixels).latent_dist
        return (posterior.mean - shift) * scale, posterior.std * scale

    def target(
        self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """What the denoiser should predict: the noise (2006.11239) or the velocity (2202.00512)."""
        if self.noise_schedule.config.prediction_type == "v_prediction":
            velocity: torch.Tensor = self.noise_schedule.get_velocity(latents, noise, timesteps)
            return velocity
        return noise

    @contextmanager
    def vae(self) -> Iterator[Any]:
        """The VAE in float32, on this model's device until the context ends."""
        vae = load_part(self.source, "vae", torch.float32).to(self.device)
        try:
            yield vae
        finally:
            del vae
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    @contextmanager
    def pipeline(self, sampler: Any) -> Iterator[Any]:
        """A diffusers pipeline over these parts, for prompt embeddings, with its VAE loaded."""
        with quiet_libraries():
            # Some of its modules advise torchvision, which nothing here needs.
            from diffusers import StableDiffusionPipeline

        (encoder,) = self.encoders
        with self.vae() as vae:
            pipeline = StableDiffusionPipeline(
                vae=vae.to(self.hardware.dtype) if self.device.type == "cuda" else vae,
                text_encoder=encoder.module,
                tokenizer=encoder.tokenizer,
                unet=self.denoiser,
                scheduler=sampler,
                safety_checker=None,
                feature_extractor=None,
                requires_safety_checker=False,
            )
            pipeline.set_progress_bar_config(disable=True)
            yield pipeline


def load_model(source: ModelSource, hardware: Hardware) -> Model:
    """Load a model frozen and in evaluation mode; the text encoder stays in float32.

    Raises ModelUnavailable where its files are damaged, DeviceFailed where memory is short.
    """
    (key,) = source.widths
    encoder = load_part(source, "text_encoder", torch.float32).to(hardware.device)
    denoiser = load_part(source, "unet", hardware.dtype).to(hardware.device)
    return Model(
        source=source,
        hardware=hardware,
        encoders=(TextEncoder(key, encoder, load_tokenizer(source), source.windows[key]),),
        denoiser=denoiser,
        noise_schedule=load_scheduler(source),
    )
