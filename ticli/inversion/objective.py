"""The loss of textual inversion: the model's own denoising error (Gal et al. 2022, eq. 2)."""

from __future__ import annotations

import torch

from ticli.inversion.draws import Draw
from ticli.inversion.examples import Examples as Examples
from ticli.inversion.vectors import Vectors
from ticli.models.model import Model


def training_loss(
    model: Model, examples: Examples, vectors: Vectors, draw: Draw, part: slice
) -> torch.Tensor:
    """Mean over `part` of the draw of |target − prediction(z_t, t, c(v*))|², a float32 scalar.

    Masks weigh it within a picture and min-SNR between timesteps, where the examples ask for it.
    """
    prediction, target = predict(model, examples, vectors, draw, part)
    if examples.masks is None and not examples.min_snr:
        return torch.nn.functional.mse_loss(prediction, target)
    errors = (prediction - target).square()
    if examples.masks is None:
        losses = errors.flatten(1).mean(1)
    else:
        masks = examples.masks[draw.photos[part], draw.mirrored[part].long()].to(errors)
        losses = masked_means(errors, masks)
    if examples.min_snr:
        losses = losses * snr_weights(model, draw.timesteps[part], examples.min_snr).to(losses)
    return losses.mean()


def denoising_losses(
    model: Model, examples: Examples, vectors: Vectors, draw: Draw, part: slice
) -> torch.Tensor:
    """|target − prediction(z_t, t, c(v*))|² of each sample in `part`, (batch,) float32.

    The mean is over a sample's values; neither masks nor weights of the recipe are in it.
    """
    prediction, target = predict(model, examples, vectors, draw, part)
    return (prediction - target).square().flatten(1).mean(1)


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


def predict(
    model: Model, examples: Examples, vectors: Vectors, draw: Draw, part: slice
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the denoiser answers for noised photos, and what it should answer, both as latents."""
    device = model.device
    z = examples.latents.sample(draw.photos[part], draw.mirrored[part], draw.spread[part])
    z, eps = z.to(device), draw.noise[part].to(device)
    t = draw.timesteps[part].to(device)
    z_t = model.add_noise(z, eps, t)
    own = draw.private[part].tolist() if draw.private is not None else [False] * len(t)
    prompts = [
        examples.prompt(int(photo), int(number), private)
        for photo, number, private in zip(draw.photos[part], draw.sentences[part], own, strict=True)
    ]
    words = vectors.words(examples.concept)
    twin = examples.twin
    if twin is None:
        prediction = model.denoise(z_t, t, model.condition(prompts, words))
        return prediction, model.target(z, eps, t)
    # Classifier-free guidance inside the loss (DreamArtist, 2211.11337): ê = e⁻ + g · (e⁺ − e⁻).
    conditioning = model.condition([*prompts, *[twin.prompt] * len(prompts)], words)
    both = model.denoise(torch.cat([z_t, z_t]), torch.cat([t, t]), conditioning)
    positive, negative = both.chunk(2)
    return negative + twin.guidance * (positive - negative), model.target(z, eps, t)
