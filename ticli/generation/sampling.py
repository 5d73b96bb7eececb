"""Pictures drawn one at a time from noise that only the seed decides."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from ticli.concept import Embedding
from ticli.errors import DeviceFailed, Usage
from ticli.generation.drawing import Drawing
from ticli.generation.prompts import ResolvedPrompt
from ticli.models.conditioning import Conditioning
from ticli.models.memory import memory_explained
from ticli.models.model import Model, Rows
from ticli.models.samplers import make_sampler
from ticli.models.text import Tokenised


@dataclass(frozen=True)
class Encoded:
    """A prompt as the denoiser reads it: `conditioning` is of two, the negative one first.

    `cut` is the text of both prompts that fell outside an encoder's window.
    """

    conditioning: Conditioning
    cut: tuple[str, ...]

    @property
    def hidden(self) -> torch.Tensor:
        """The vectors of both prompts, (2, tokens, width)."""
        return self.conditioning.hidden


@dataclass(frozen=True)
class Picture:
    """One finished picture; `index` counts from 0 over the call, `seconds` is what it took."""

    image: Image.Image
    seed: int
    index: int
    seconds: float


def place_rows(embeddings: Mapping[str, Embedding]) -> Rows:
    """Turn the embeddings of the concepts, by name, into the tensors a model takes."""
    return {
        name: {key: torch.from_numpy(rows.copy()) for key, rows in embedding.rows.items()}
        for name, embedding in embeddings.items()
    }


def encode(model: Model, prompt: ResolvedPrompt, rows: Rows) -> Encoded:
    """Encode a prompt beside its negative one.

    Raises Usage naming the limit where a vector of a concept falls outside the window, since the
    concept would then be drawn wrongly.
    """
    vectors = {concept.name: concept.vectors for concept in prompt.concepts}
    tokenised = [
        model.tokenise(prompt.negative_used, vectors, negative=True),
        model.tokenise(prompt.used, vectors),
    ]
    for text in tokenised:
        for encoder, tokens in text.items():
            if tokens.lost:
                raise _lost(prompt, tokens, model.source.windows[encoder])
    with torch.no_grad(), _memory():
        conditioning = model.condition(tokenised, rows)
    cut = dict.fromkeys(tokens.cut for text in tokenised for tokens in text.values() if tokens.cut)
    return Encoded(conditioning, tuple(cut))


def draw(
    model: Model, pictures: Sequence[tuple[Encoded, int]], drawing: Drawing
) -> Iterator[Picture]:
    """Draw one picture for each (encoded prompt, seed), each the same as if drawn alone.

    All noise comes from a generator on the CPU, so that every device starts from the same. Raises
    DeviceFailed where memory is short or half precision breaks down.
    """
    schedule = model.noise_schedule
    with (
        _memory(),
        model.pipeline(make_sampler(drawing.sampler, schedule)) as pipeline,
        torch.no_grad(),
    ):
        for index, (encoded, seed) in enumerate(pictures):
            began = time.monotonic()
            # Fresh for each picture: samplers of several steps remember what they saw last.
            pipeline.scheduler = make_sampler(drawing.sampler, schedule)
            latents = _latents(model, pipeline, encoded, (seed, drawing))
            image = _image(_pixels(model, pipeline, latents), model)
            yield Picture(image, seed, index, time.monotonic() - began)


def _latents(
    model: Model, pipeline: Any, encoded: Encoded, how: tuple[int, Drawing]
) -> torch.Tensor:
    """Latents denoised from the seed's noise, (1, channels, height, width)."""
    seed, drawing = how
    generator = torch.Generator("cpu").manual_seed(seed)
    grain = pipeline.vae_scale_factor
    height, width = drawing.height // grain, drawing.width // grain
    # Drawn in float32 whatever the precision: half precision draws other numbers.
    noise = torch.randn((1, model.channels, height, width), generator=generator)
    noise = noise.to(model.device, encoded.hidden.dtype)
    packed = pipeline(
        **model.family.arguments(encoded.conditioning, noise, drawing.guidance),
        generator=generator,
        num_inference_steps=drawing.steps,
        width=drawing.width,
        height=drawing.height,
        output_type="latent",
    ).images
    return model.family.unpack(packed, height, width)


def _pixels(
    model: Model, pipeline: Any, latents: torch.Tensor
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The picture of latents, (height, width, 3) in [0, 1], marked where its pipeline marks it."""
    decoded = model.decode(pipeline.vae, latents)
    if getattr(pipeline, "watermark", None) is not None:
        decoded = pipeline.watermark.apply_watermark(decoded)
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    pixels = pipeline.image_processor.postprocess(decoded, output_type="np")[0]
    return pixels


def _memory() -> AbstractContextManager[None]:
    return memory_explained(
        "the device ran out of memory",
        "take a smaller --size, --dtype fp16 on a GPU, or --device cpu",
    )


def _image(pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]], model: Model) -> Image.Image:
    """Turn (height, width, 3) in [0, 1] into a picture."""
    if not np.isfinite(pixels).all():
        raise DeviceFailed(
            f"the picture came out as numbers that are not finite on {model.hardware.describe()}",
            "a concept of the prompt may be far too large: ti show NAME gives its norms"
            if model.hardware.dtype is torch.float32
            else "try again with --dtype fp32",
        )
    return Image.fromarray((pixels * 255).round().astype(np.uint8))


def _lost(prompt: ResolvedPrompt, tokens: Tokenised, window: int) -> Usage:
    names = {concept.name: concept.token for concept in prompt.concepts}
    tokens_lost = ", ".join(names[name] for name in tokens.lost)
    return Usage(
        f"{tokens_lost} falls outside the {window - 2} tokens that the model reads",
        "move it nearer to the start, or shorten the prompt",
        prompt=prompt.typed,
    )
