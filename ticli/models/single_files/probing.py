"""Find out whether a denoiser predicts noise or velocity by comparing its output with both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ticli.errors import ModelUnavailable, TiError
from ticli.families.family import Conditioning
from ticli.models.folder import ModelSource
from ticli.models.hardware import Hardware
from ticli.models.model import Model, load_text
from ticli.models.single_files.assembly import open_single_file, remember
from ticli.models.single_files.recognising import EPSILON, TRIED, VELOCITY, Given

# Fractions of the schedule. With little noise both readings agree, so only the noisy half counts.
SHARES = (1.0, 0.75, 0.5)
MOST_PHOTOS = 4
# One loss must be less than this fraction of the other.
FAR_LOWER = 0.5


def find_prediction(
    source: ModelSource,
    hardware: Hardware,
    tell: Callable[[str], None],
    encode: Callable[[Model], Tensor | None] = lambda model: None,
) -> ModelSource:
    """Load a model that does not say what it predicts, find it out, and return it again.

    A plan must know it first, since it decides the size. `encode` gives the photos' latents; `tell`
    is called with the result. Raises as settle_prediction and load_model do.
    """
    model = load_text(source, hardware)
    latents = encode(model)
    model.load_denoiser()
    tell(settle_prediction(model, latents))
    single = model.source.single
    return source if single is None else open_single_file(single.path, single.given)


def settle_prediction(model: Model, latents: Tensor | None = None) -> str:
    """Find out what the denoiser predicts if neither user nor file says; return what to report.

    Noise is added to the photos' `latents` (photos, channels, height, width) and predicted once;
    the losses as noise and as velocity are compared. Without photos the input is pure noise at the
    end of the schedule, where the noise is the input itself and the velocity almost zero. What is
    found is remembered, and so is what the user gave. Raises ModelUnavailable if neither loss is
    far lower.
    """
    single = model.source.single
    if single is None:
        return ""
    if single.prediction:
        _note(single.path, single.given)
        return ""
    losses = _losses(model, latents)
    lower, higher = sorted(losses, key=lambda reading: losses[reading])
    if not losses[lower] < FAR_LOWER * losses[higher]:
        raise ModelUnavailable(
            f"{single.path} does not say whether it predicts noise or velocity, and the losses of "
            f"both are close: {losses[EPSILON]:.3g} and {losses[VELOCITY]:.3g}",
            "give --prediction epsilon or --prediction v",
        )
    model.noise_schedule.register_to_config(prediction_type=lower)
    found = replace(single, prediction=lower, told_by=TRIED)
    # A loaded model is tried once, however many concepts are learned on it.
    model.source = replace(model.source, single=found)
    _note(single.path, found.given)
    names = {EPSILON: "noise (epsilon)", VELOCITY: "velocity (v)"}
    return (
        f"the model predicts {names[lower]}: read so its loss is {losses[lower]:.3g}, read the "
        f"other way {losses[higher]:.3g}; --prediction overrides this"
    )


def _note(path: Path, given: Given) -> None:
    # With read-only settings nothing is remembered, and the next run tries again.
    with contextlib.suppress(TiError, OSError):
        remember(path, given)


def _losses(model: Model, latents: Tensor | None) -> dict[str, float]:
    """The mean squared error of the denoiser's output as noise and as velocity."""
    steps = int(model.noise_schedule.config.num_train_timesteps)
    side = model.source.size // model.source.grain
    shares = SHARES[:1] if latents is None else SHARES
    if latents is None:
        latents = torch.zeros(1, model.channels, side, side)
    clean = latents[:MOST_PHOTOS].float().cpu()
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    clean, noise = clean.to(model.device), noise.to(model.device)
    sums = {EPSILON: 0.0, VELOCITY: 0.0}
    with torch.no_grad():
        if model.encoders:
            empty = model.condition([model.tokenise("", {})], {})
        else:
            # The text encoders are no longer in memory.
            ((key, width),) = model.source.widths.items()
            shape = 1, model.source.windows[key], width
            empty = Conditioning(
                torch.zeros(shape, device=model.device, dtype=model.hardware.dtype)
            )
        conditioning = empty.repeated(len(clean))
        for share in shares:
            times = torch.full((len(clean),), int(share * (steps - 1)), device=model.device)
            noisy = model.add_noise(clean, noise, times)
            answer = model.denoise(noisy, times, conditioning)
            velocity = model.noise_schedule.get_velocity(clean, noise, times)
            for reading, target in ((EPSILON, noise), (VELOCITY, velocity)):
                sums[reading] += float((answer - target).square().mean()) / len(shares)
    return sums
