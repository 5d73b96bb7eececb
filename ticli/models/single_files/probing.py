"""Whether a denoiser predicts noise or velocity, found by reading its answer both ways."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from ticli.errors import ModelUnavailable, TiError
from ticli.families.family import Conditioning
from ticli.models.folder import ModelSource
from ticli.models.hardware import Hardware
from ticli.models.model import Model, load_text
from ticli.models.single_files.assembly import open_single_file, remember
from ticli.models.single_files.recognising import EPSILON, TRIED, VELOCITY, Given

# Shares of the schedule: with little noise both readings agree, so these are its noisy half.
SHARES = (1.0, 0.75, 0.5)
MOST_PHOTOS = 4
# One reading must leave less than this share of the other's loss.
FAR_LOWER = 0.5


def find_prediction(
    source: ModelSource,
    hardware: Hardware,
    tell: Callable[[str], None],
    encode: Callable[[Model], torch.Tensor | None] = lambda model: None,
) -> ModelSource:
    """Load a model that does not say what it predicts, and return it as one that does.

    Its size depends on that, so a plan must know it first. `encode` gives the photos' latents; what
    was found is told to `tell`. Raises as settle_prediction and load_model do.
    """
    model = load_text(source, hardware)
    latents = encode(model)
    model.load_denoiser()
    tell(settle_prediction(model, latents))
    single = model.source.single
    return source if single is None else open_single_file(single.path, single.given)


def settle_prediction(model: Model, latents: torch.Tensor | None = None) -> str:
    """Find out what the denoiser predicts where neither user nor file says; return what to say.

    Photos' `latents` (photos, channels, height, width) are noised and denoised once, and the loss
    taken under each reading; without photos it is pure noise at the schedule's end, where one
    reading is the input itself and the other next to nothing. What is found is remembered, and so
    is what the user gave.
    Raises ModelUnavailable where neither loss is far lower.
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
            f"{single.path} does not say whether it predicts noise or velocity, and trying gives "
            f"{losses[EPSILON]:.3g} and {losses[VELOCITY]:.3g}",
            "say it: --prediction epsilon or --prediction v",
        )
    model.noise_schedule.register_to_config(prediction_type=lower)
    found = replace(single, prediction=lower, told_by=TRIED)
    # A loaded model is tried once, however many words are learned on it.
    model.source = replace(model.source, single=found)
    _note(single.path, found.given)
    names = {EPSILON: "noise (epsilon)", VELOCITY: "velocity (v)"}
    return (
        f"the model predicts {names[lower]}: read so its loss is {losses[lower]:.3g}, read the "
        f"other way {losses[higher]:.3g}; --prediction overrides this"
    )


def _note(path: Path, given: Given) -> None:
    # Where settings can only be read nothing is remembered; the next run tries again.
    with contextlib.suppress(TiError, OSError):
        remember(path, given)


def _losses(model: Model, latents: torch.Tensor | None) -> dict[str, float]:
    """The mean squared error of the denoiser's answer under each reading."""
    steps = int(model.noise_schedule.config.num_train_timesteps)
    shares: tuple[float, ...] = SHARES
    if latents is None:
        side = model.source.size // model.source.grain
        clean, shares = torch.zeros(1, model.channels, side, side), SHARES[:1]
    else:
        clean = latents[:MOST_PHOTOS].float().cpu()
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    clean, noise = clean.to(model.device), noise.to(model.device)
    sums = {EPSILON: 0.0, VELOCITY: 0.0}
    with torch.no_grad():
        conditioning = _empty(model).repeated(len(clean))
        for share in shares:
            times = torch.full((len(clean),), int(share * (steps - 1)), device=model.device)
            noisy = model.add_noise(clean, noise, times)
            answer = model.denoise(noisy, times, conditioning)
            velocity = model.noise_schedule.get_velocity(clean, noise, times)
            for reading, target in ((EPSILON, noise), (VELOCITY, velocity)):
                sums[reading] += float((answer - target).square().mean()) / len(shares)
    return sums


def _empty(model: Model) -> Conditioning:
    """The empty prompt; zeros in its place where the text encoders have left memory."""
    if model.encoders:
        return model.condition([model.tokenise("", {})], {})
    (key,) = model.source.widths
    shape = 1, model.source.windows[key], model.source.widths[key]
    return Conditioning(torch.zeros(shape, device=model.device, dtype=model.hardware.dtype))
