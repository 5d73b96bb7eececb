"""Pictures from noise, through the diffusers pipeline of a model's family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ticli.models.conditioning import Conditioning
from ticli.models.memory import with_less
from ticli.models.model import Model, Rows
from ticli.models.samplers import make_sampler
from ticli.models.text import Tokenised

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class Brush:
    """How pictures are painted: sampler, steps and guidance.

    `generator` feeds samplers that add noise on their way.
    """

    sampler: str
    steps: int
    guidance: float
    generator: torch.Generator | None = None


def condition_pair(
    model: Model, tokenised: Sequence[Mapping[str, Tokenised]], rows: Rows, *, negative: bool
) -> Conditioning:
    """What the denoiser reads of two prompts, the negative one first; rows as in Model.condition.

    Where no `negative` prompt was given, its place has what the model's own pipeline puts there:
    an encoded prompt of no words, or zeros.
    """
    pair = model.condition(tokenised, rows)
    return pair if negative or not model.source.zeroed_negative else pair.first_zeroed()


def blank(model: Model, pipeline: Any, size: tuple[int, int], generator: torch.Generator) -> Any:
    """Noise for one picture of a size (width, height) in pixels: (1, channels, h, w), float32.

    Drawn in float32 whatever the precision: half precision draws other numbers.
    """
    grain = pipeline.vae_scale_factor
    shape = (1, model.channels, size[1] // grain, size[0] // grain)
    return torch.randn(shape, generator=generator)


def paint(
    model: Model, pipeline: Any, pair: Conditioning, noise: torch.Tensor, brush: Brush
) -> Pixels:
    """Paint a picture of each noise, (pictures, height, width, 3) in [0, 1].

    `pair` is of two prompts, the negative one first. `pipeline` comes from the model; a watermark
    that it would put on its pictures is put on these. Where memory runs out they are begun anew
    with less of it, as the model tells.
    """
    generator = brush.generator
    state = None if generator is None else generator.get_state()

    def begin() -> Pixels:
        if generator is not None and state is not None:
            generator.set_state(state)
        return _painted(model, pipeline, pair, noise, brush)

    return with_less(model, 1, begin)


def _painted(
    model: Model, pipeline: Any, pair: Conditioning, noise: torch.Tensor, brush: Brush
) -> Pixels:
    height, width = noise.shape[-2:]
    grain = pipeline.vae_scale_factor
    # Fresh for each call: samplers of several steps remember what they saw last.
    pipeline.scheduler = make_sampler(brush.sampler, model.noise_schedule)
    with torch.no_grad():
        repeated = pair.repeated(len(noise))
        packed = pipeline(
            **model.family.arguments(
                repeated, noise.to(model.device, pair.hidden.dtype), brush.guidance
            ),
            generator=brush.generator,
            num_inference_steps=brush.steps,
            width=width * grain,
            height=height * grain,
            output_type="latent",
        ).images
        decoded = model.decode(pipeline.vae, model.family.unpack(packed, height, width))
        if getattr(pipeline, "watermark", None) is not None:
            decoded = pipeline.watermark.apply_watermark(decoded)
        pixels: Pixels = pipeline.image_processor.postprocess(decoded, output_type="np")
    return pixels
