"""Pictures drawn one at a time from noise that only the seed decides."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

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
from ticli.models.painting import Brush, Pixels, blank, condition_pair, paint
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
                raise _lost(prompt, tokens, model.source.room(encoder))
    with torch.no_grad(), _memory():
        given = bool(prompt.negative_used)
        conditioning = condition_pair(model, tokenised, rows, negative=given)
    cut = dict.fromkeys(tokens.cut for text in tokenised for tokens in text.values() if tokens.cut)
    return Encoded(conditioning, tuple(cut))


def draw(
    model: Model, pictures: Sequence[tuple[Encoded, int]], drawing: Drawing
) -> Iterator[Picture]:
    """Draw one picture for each (encoded prompt, seed), each the same as if drawn alone.

    All noise comes from a generator on the CPU, so that every device starts from the same. Raises
    DeviceFailed where memory is short or half precision breaks down.
    """
    sampler = make_sampler(drawing.sampler, model.noise_schedule)
    with _memory(), model.pipeline(sampler) as pipeline:
        for index, (encoded, seed) in enumerate(pictures):
            began = time.monotonic()
            generator = torch.Generator("cpu").manual_seed(seed)
            noise = blank(model, pipeline, (drawing.width, drawing.height), generator)
            brush = Brush(drawing.sampler, drawing.steps, drawing.guidance, generator)
            (pixels,) = paint(model, pipeline, encoded.conditioning, noise, brush)
            yield Picture(_image(pixels, model), seed, index, time.monotonic() - began)


def _memory() -> AbstractContextManager[None]:
    return memory_explained(
        "the device ran out of memory",
        "take a smaller --size, --dtype fp16 on a GPU, or --device cpu",
    )


def _image(pixels: Pixels, model: Model) -> Image.Image:
    """Turn (height, width, 3) in [0, 1] into a picture."""
    if not np.isfinite(pixels).all():
        raise DeviceFailed(
            f"the picture came out as numbers that are not finite on {model.hardware.describe()}",
            "a concept of the prompt may be far too large: ti show NAME gives its norms"
            if model.hardware.dtype is torch.float32
            else "try again with --dtype fp32",
        )
    return Image.fromarray((pixels * 255).round().astype(np.uint8))


def _lost(prompt: ResolvedPrompt, tokens: Tokenised, room: int) -> Usage:
    names = {concept.name: concept.token for concept in prompt.concepts}
    tokens_lost = ", ".join(names[name] for name in tokens.lost)
    return Usage(
        f"{tokens_lost} falls outside the {room} tokens that the model reads",
        "move it nearer to the start, or shorten the prompt",
        prompt=prompt.typed,
    )
