"""How pictures are drawn: sampler, steps, guidance, size and seeds, with each model's defaults."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from ticli.errors import Usage
from ticli.models.samplers import check_sampler, samplers_for
from ticli.models.source import ModelSource

# Most VAEs halve a picture three times; a model may want more.
GRAIN = 8
SMALLEST, LARGEST = 64, 4096
MOST_STEPS = 1000  # the noise schedule of Stable Diffusion has no more (2006.11239)
MOST_GUIDANCE = 100.0
MOST_PICTURES = 10_000
# Fresh seeds stay short enough to be read aloud; given ones may fill what torch takes.
FRESH_SEEDS, LARGEST_SEED = 1 << 32, (1 << 63) - 1


@dataclass(frozen=True)
class Wanted:
    """The knobs a user gave; None or "" where the model's default is wanted."""

    steps: int | None = None
    guidance: float | None = None
    size: str = ""
    sampler: str = ""


@dataclass(frozen=True)
class Drawing:
    """Every knob's effective value; `width` and `height` in pixels."""

    sampler: str
    steps: int
    guidance: float
    width: int
    height: int


def check_wanted(wanted: Wanted) -> None:
    """Check the knobs that need no model. Raises Usage naming the knob and its range."""
    if wanted.steps is not None and not 1 <= wanted.steps <= MOST_STEPS:
        raise Usage(f"--steps must be 1 to {MOST_STEPS}, not {wanted.steps}")
    # Written so that nan, which compares as false, is refused too.
    if wanted.guidance is not None and not 0 <= wanted.guidance <= MOST_GUIDANCE:
        raise Usage(f"--guidance must be 0 to {MOST_GUIDANCE:g}, not {wanted.guidance}")
    if wanted.size:
        parse_size(wanted.size)
    if wanted.sampler:
        check_sampler(wanted.sampler)


def settle(wanted: Wanted, source: ModelSource) -> Drawing:
    """Fill what the user left open with the model's defaults.

    Raises Usage as check_wanted does, and where the model knows not this sampler or size.
    """
    check_wanted(wanted)
    sampler, steps, guidance = source.defaults
    if wanted.sampler:
        check_sampler(wanted.sampler, samplers_for(source.family))
    square = (source.size, source.size)
    width, height = parse_size(wanted.size, source.grain) if wanted.size else square
    return Drawing(
        sampler=wanted.sampler or sampler,
        steps=steps if wanted.steps is None else wanted.steps,
        guidance=guidance if wanted.guidance is None else wanted.guidance,
        width=width,
        height=height,
    )


def parse_size(text: str, grain: int = GRAIN) -> tuple[int, int]:
    """Read "512" or "768x512" as (width, height) in pixels, multiples of `grain`. Raises Usage."""
    match = re.fullmatch(r"([0-9]{1,6})(?:[xX×]([0-9]{1,6}))?", text.strip())
    if not match:
        raise Usage(f"--size cannot be {text!r}", "write N or WxH, such as 512 or 768x512")
    width, height = int(match[1]), int(match[2] or match[1])
    for side in (width, height):
        if not SMALLEST <= side <= LARGEST:
            raise Usage(f"--size {text}: a side must be {SMALLEST} to {LARGEST} pixels, not {side}")
        if side % grain:
            near = max(SMALLEST, min(LARGEST, round(side / grain) * grain))
            raise Usage(f"--size {text}: {side} is not a multiple of {grain}", f"use {near}")
    return width, height


def first_seed(given: int | None, pictures: int) -> int:
    """The seed of picture 0, fresh where none is given; picture i takes seed + i. Raises Usage."""
    if not 1 <= pictures <= MOST_PICTURES:
        raise Usage(f"{pictures} pictures were asked for", f"ask for 1 to {MOST_PICTURES}")
    if given is None:
        return secrets.randbelow(FRESH_SEEDS)
    if not 0 <= given <= LARGEST_SEED - pictures:
        raise Usage(f"--seed cannot be {given}", "use 0 or more, or leave it out for a fresh one")
    return given
