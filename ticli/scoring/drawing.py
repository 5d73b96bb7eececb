"""The pictures of one word that a protocol asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ticli.errors import DeviceFailed, Usage
from ticli.models.memory import memory_explained
from ticli.models.model import Model, Rows
from ticli.models.painting import Brush, condition_pair, paint
from ticli.models.samplers import make_sampler
from ticli.photos.sentences import fill
from ticli.scoring.protocol import Protocol

# Pixels drawn at once: all sixteen of the starter's, and one of a large model's.
PIXELS_AT_ONCE = 16 * 128 * 128


@dataclass(frozen=True)
class Pictures:
    """What was drawn for one word: plain pictures, and for each scene a list."""

    plain: list[Image.Image]
    scenes: list[list[Image.Image]]


def draw_word(model: Model, word: str, rows: Rows, protocol: Protocol) -> Pictures:
    """Draw a protocol's pictures with `word` in place of {}; `rows` are its vectors by concept.

    A prompt's noise comes from its own seed on the CPU, all pictures of it at once, so that every
    word is drawn from the same. Raises Usage where the word falls outside the text window, and
    DeviceFailed.
    """
    drawn = list(draw_prompts(model, prompts_and_counts(word, protocol), rows, protocol))
    return Pictures(drawn[0], drawn[1:])


def prompts_and_counts(word: str, protocol: Protocol) -> list[tuple[str, int, int]]:
    """Each prompt with `word` in it, how many pictures it takes, and its seed."""
    prompts, counts = protocol.prompts, protocol.counts
    return [
        (fill(text, word), counts.scene if number else counts.plain, protocol.seed(number))
        for number, text in enumerate((prompts.plain, *prompts.scenes))
    ]


def draw_prompts(
    model: Model, jobs: list[tuple[str, int, int]], rows: Rows, protocol: Protocol
) -> Iterator[list[Image.Image]]:
    """Draw each (prompt, count, seed), yielding a prompt's pictures when they are finished."""
    vectors = {name: len(next(iter(keys.values()))) for name, keys in rows.items()}
    drawn = protocol.drawn
    at_once = max(1, PIXELS_AT_ONCE // (drawn.width * drawn.height))
    sampler = make_sampler(drawn.sampler, model.noise_schedule)
    advice = "use --device cpu, or score on a larger GPU"
    with (
        torch.no_grad(),
        memory_explained("the device ran out of memory", advice),
        model.pipeline(sampler) as pipeline,
    ):
        for prompt, count, seed in jobs:
            tokens = model.tokenise(prompt, vectors)
            if any(text.lost for text in tokens.values()):
                raise Usage(f"the word falls out of {prompt!r}", "shorten that prompt")
            both = [model.tokenise("", {}, negative=True), tokens]
            pair = condition_pair(model, both, rows, negative=False)
            noise = _noise(model, pipeline.vae_scale_factor, protocol, (count, seed))
            generator = torch.Generator("cpu").manual_seed(seed)
            brush = Brush(drawn.sampler, drawn.steps, drawn.guidance, generator)
            yield [
                _picture(pixels)
                for part in torch.split(noise, at_once)
                for pixels in paint(model, pipeline, pair, part, brush)
            ]


def _noise(model: Model, grain: int, protocol: Protocol, counted: tuple[int, int]) -> torch.Tensor:
    """Noise of (count, seed) in one draw, float32: (count, channels, height/grain, width/grain)."""
    count, seed = counted
    shape = (count, model.channels, protocol.drawn.height // grain, protocol.drawn.width // grain)
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))


def _picture(pixels: NDArray[np.float32]) -> Image.Image:
    """Turn (height, width, 3) in [0, 1] into a picture."""
    if not np.isfinite(pixels).all():
        raise DeviceFailed(
            "a picture came out as numbers that are not finite",
            "the word may be far too large (ti show NAME gives its norms); else try --dtype fp32",
        )
    return Image.fromarray((pixels * 255).round().astype(np.uint8))
