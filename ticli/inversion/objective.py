"""The loss of textual inversion: the model's own denoising error (Gal et al. 2022, eq. 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ticli.inversion.draws import Draw
from ticli.inversion.latents import Latents
from ticli.inversion.vectors import Vectors
from ticli.models.model import Model
from ticli.models.text import Tokenised


@dataclass(frozen=True)
class Examples:
    """What a run learns from: latents, and for each photo the sentences it may be given.

    `sentences[photo]` are tokenised prompts that hold the placeholder of `concept`.
    """

    concept: str
    latents: Latents
    sentences: Sequence[Sequence[Mapping[str, Tokenised]]]

    def prompt(self, photo: int, number: int) -> Mapping[str, Tokenised]:
        """The sentence a draw picked for a photo; numbers wrap around."""
        choices = self.sentences[photo]
        return choices[number % len(choices)]


def training_loss(
    model: Model, examples: Examples, vectors: Vectors, draw: Draw, part: slice
) -> torch.Tensor:
    """Mean over `part` of the draw of |target − prediction(z_t, t, c(v*))|², a float32 scalar."""
    prediction, target = _predict(model, examples, vectors, draw, part)
    return torch.nn.functional.mse_loss(prediction, target)


def denoising_losses(
    model: Model, examples: Examples, vectors: Vectors, draw: Draw, part: slice
) -> torch.Tensor:
    """|target − prediction(z_t, t, c(v*))|² of each sample in `part`, (batch,) float32.

    The mean is over a sample's values; neither masks nor weights of the recipe are in it.
    """
    prediction, target = _predict(model, examples, vectors, draw, part)
    return (prediction - target).square().flatten(1).mean(1)


def _predict(
    model: Model, examples: Examples, vectors: Vectors, draw: Draw, part: slice
) -> tuple[torch.Tensor, torch.Tensor]:
    """Say what the denoiser answers for noised photos, and what it should answer."""
    device = model.device
    z = examples.latents.sample(draw.photos[part], draw.mirrored[part], draw.spread[part])
    z, eps = z.to(device), draw.noise[part].to(device)
    t = draw.timesteps[part].to(device)
    z_t = model.add_noise(z, eps, t)
    prompts = [
        examples.prompt(int(photo), int(number))
        for photo, number in zip(draw.photos[part], draw.sentences[part], strict=True)
    ]
    prediction = model.denoise(z_t, t, model.condition(prompts, {examples.concept: vectors.rows}))
    return prediction, model.target(z, eps, t)
