"""The pictures of one word that a protocol asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from PIL import Image

from ticli.errors import Usage
from ticli.models.loading import quiet_libraries
from ticli.models.memory import memory_explained
from ticli.models.model import Model, Rows
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
    sampler = make_sampler(drawn.sampler, model.noise_schedule)
    advice = "use --device cpu, or score on a larger GPU"
    with (
        torch.no_grad(),
        quiet_libraries(),
        memory_explained("the device ran out of memory", advice),
        model.pipeline(sampler) as pipeline,
    ):
        for prompt, count, seed in jobs:
            noise = _noise(pipeline, protocol, count, seed)
            tokens = model.tokenise(prompt, vectors)
            if any(text.lost for text in tokens.values()):
                raise Usage(f"the word falls out of {prompt!r}", "shorten that prompt")
            hidden = model.condition([model.tokenise("", {}), tokens], rows).hidden
            pictures: list[Image.Image] = []
            at_once = max(1, PIXELS_AT_ONCE // (drawn.width * drawn.height))
            for part in torch.split(noise, at_once):
                # Samplers of several steps remember what they saw last.
                pipeline.scheduler = make_sampler(drawn.sampler, model.noise_schedule)
                pictures += pipeline(
                    prompt_embeds=hidden[1:].expand(len(part), -1, -1),
                    negative_prompt_embeds=hidden[:1].expand(len(part), -1, -1),
                    latents=part.to(model.device, hidden.dtype),
                    num_inference_steps=drawn.steps,
                    guidance_scale=drawn.guidance,
                    width=drawn.width,
                    height=drawn.height,
                    generator=torch.Generator().manual_seed(seed),
                ).images
            yield pictures


def _noise(pipeline: object, protocol: Protocol, count: int, seed: int) -> torch.Tensor:
    """Noise of `count` pictures in one draw, float32: (count, channels, height/8, width/8)."""
    grain, channels = pipeline.vae_scale_factor, pipeline.unet.config.in_channels  # type: ignore[attr-defined]
    shape = (count, channels, protocol.drawn.height // grain, protocol.drawn.width // grain)
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))
