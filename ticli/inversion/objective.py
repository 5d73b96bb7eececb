"""The loss of textual inversion: the model's own denoising error (Gal et al. 2022, eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ticli.inversion.draws import Draw
from ticli.inversion.examples import Examples as Examples
from ticli.inversion.examples import Prompt, Twin
from ticli.inversion.vectors import Vectors
from ticli.models.model import Model, Rows


@dataclass(frozen=True)
class Inputs:
    """What the denoiser is given: noised latents, timesteps, and prompts yet to be encoded.

    `words` are the trainable rows by placeholder and encoder, `target` what should be predicted.
    With a `guidance`, `z_t`, `t` and `prompts` hold each sample twice, the negative twin's last.
    """

    z_t: torch.Tensor
    t: torch.Tensor
    prompts: Sequence[Prompt]
    words: Rows
    target: torch.Tensor
    guidance: float | None = None


def compare(
    model: Model,
    examples: Examples,
    pair: tuple[torch.Tensor, torch.Tensor],
    draw: Draw,
    part: slice,
) -> torch.Tensor:
    """Mean over `part` of a draw of |target − prediction(z_t, t, c(v*))|², a float32 scalar.

    Masks weigh it within a picture and min-SNR between timesteps, where the examples ask for it.
    """
    return weighed_loss(*pair, *weights_of(model, examples, draw, part))


Weights = torch.Tensor | None


def weights_of(
    model: Model, examples: Examples, draw: Draw, part: slice
) -> tuple[Weights, Weights]:
    """Masks (batch, 1, h, w) and weights (batch,) of samples on the device, if there are any."""
    weights = None
    if examples.min_snr:
        weights = snr_weights(model, draw.timesteps[part], examples.min_snr).to(model.device)
    return masks_of(model, examples, draw, part), weights


def masks_of(model: Model, examples: Examples, draw: Draw, part: slice) -> Weights:
    """The masks of samples as they are drawn, (batch, 1, h, w) on the device, if there are any."""
    if examples.masks is None:
        return None
    masks = examples.masks[draw.photos[part], draw.mirrored[part].long()]
    return masks.to(model.device, torch.float32)


def weighed_loss(
    prediction: torch.Tensor, target: torch.Tensor, masks: Weights, weights: Weights
) -> torch.Tensor:
    """Mean squared error over samples, weighed within pictures and between them, a scalar."""
    if masks is None and weights is None:
        return torch.nn.functional.mse_loss(prediction, target)
    losses = sample_losses(prediction, target, masks)
    return (losses if weights is None else losses * weights).mean()


def denoising_losses(
    model: Model, examples: Examples, vectors: Vectors, draw: Draw, part: slice
) -> torch.Tensor:
    """|target − prediction(z_t, t, c(v*))|² of each sample in `part`, (batch,) float32.

    The mean is over a sample's values, weighed by masks where the examples have them.
    """
    prediction, target = predict(model, examples, vectors, draw, part)
    return sample_losses(prediction, target, masks_of(model, examples, draw, part))


def sample_losses(
    prediction: torch.Tensor, target: torch.Tensor, masks: Weights = None
) -> torch.Tensor:
    """|target − prediction|² of each sample, its mean over the sample's values: (batch,)."""
    errors = (prediction - target).square()
    return errors.flatten(1).mean(1) if masks is None else masked_means(errors, masks)


def masked_means(errors: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Weighted mean of each sample's errors (batch, channels, h, w) by masks (batch, 1, h, w).

    By the weights' own sum, so that a small subject counts as much as a large one: (batch,).
    """
    weights = masks.expand_as(errors).flatten(1)
    return (errors.flatten(1) * weights).sum(1) / weights.sum(1)


def snr_weights(model: Model, timesteps: torch.Tensor, gamma: float) -> torch.Tensor:
    """Min-SNR-γ weights of timesteps, (batch,) float32 (2303.09556).

    SNR = ᾱ / (1 − ᾱ); the noise's error is weighed by min(SNR, γ) / SNR, the velocity's by
    min(SNR, γ) / (SNR + 1), so that either counts as min(SNR, γ) times the photo's own error.
    """
    schedule = model.noise_schedule
    alphas: torch.Tensor = schedule.alphas_cumprod[timesteps.cpu()].float()
    snr = alphas / (1 - alphas)
    velocity = schedule.config.prediction_type == "v_prediction"
    return snr.clamp(max=gamma) / (snr + 1 if velocity else snr)


def inputs(model: Model, examples: Examples, vectors: Vectors, draw: Draw, part: slice) -> Inputs:
    """What the denoiser is given for the samples in `part` of a draw; no gradient flows yet."""
    device = model.device
    z = examples.latents.sample(draw.photos[part], draw.mirrored[part], draw.spread[part])
    z, eps = z.to(device), draw.noise[part].to(device)
    t = draw.timesteps[part].to(device)
    own = draw.private[part].tolist() if draw.private is not None else [False] * len(t)
    prompts = [
        examples.prompt(int(photo), int(number), private)
        for photo, number, private in zip(draw.photos[part], draw.sentences[part], own, strict=True)
    ]
    given = Inputs(
        model.add_noise(z, eps, t),
        t,
        tuple(prompts),
        vectors.words(examples.concept),
        model.target(z, eps, t),
    )
    return given if examples.twin is None else _beside_twin(given, examples.twin)


def joined(parts: Sequence[Inputs]) -> Inputs:
    """The inputs of several words as one batch, in their order; latents must be of one shape.

    Samples are independent and the denoiser is frozen, so that each word's gradient is what it
    would be alone. Guidance belongs to the words: it is applied to each one's part of the answer.
    """
    if len(parts) == 1:
        return parts[0]
    return Inputs(
        torch.cat([part.z_t for part in parts]),
        torch.cat([part.t for part in parts]),
        tuple(prompt for part in parts for prompt in part.prompts),
        {name: rows for part in parts for name, rows in part.words.items()},
        torch.cat([part.target for part in parts]),
    )


def answer(model: Model, given: Inputs) -> torch.Tensor:
    """What the denoiser answers, float32 of the shape of `z_t`."""
    return model.denoise(given.z_t, given.t, model.condition(given.prompts, given.words))


def guided(guidance: float | None, answered: torch.Tensor) -> torch.Tensor:
    """The prediction to compare with the target: an answer, or one guided away from the twin's.

    Classifier-free guidance inside the loss (DreamArtist, 2211.11337): ê = e⁻ + g · (e⁺ − e⁻).
    """
    if guidance is None:
        return answered
    positive, negative = answered.chunk(2)
    return negative + guidance * (positive - negative)


def predict(
    model: Model, examples: Examples, vectors: Vectors, draw: Draw, part: slice
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the denoiser answers for noised photos, and what it should answer, both as latents."""
    given = inputs(model, examples, vectors, draw, part)
    return guided(given.guidance, answer(model, given)), given.target


def _beside_twin(given: Inputs, twin: Twin) -> Inputs:
    """Every sample twice: with its sentence, and with the negative twin's prompt."""
    return replace(
        given,
        z_t=torch.cat([given.z_t, given.z_t]),
        t=torch.cat([given.t, given.t]),
        prompts=(*given.prompts, *[twin.prompt] * len(given.prompts)),
        guidance=twin.guidance,
    )
