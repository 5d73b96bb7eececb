"""Masks of photos as weights on the grid of their latents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from ticli.photos.cropping import training_mask
from ticli.photos.opening import Photo
from ticli.recipe import Recipe


def mask_weights(photos: Sequence[Photo], recipe: Recipe, grid: tuple[int, int]) -> torch.Tensor:
    """Weights in [0, 1] of each latent of a photo and its mirror image, (photos, 2, 1, *grid).

    m is the share of a latent's pixels that a mask leaves, and the weight b + (1 − b)·m^τ with
    the recipe's background b and temperature τ. A photo without a mask weighs 1 everywhere.
    """
    height, width = grid
    weights = []
    for photo in photos:
        mask = training_mask(photo, recipe.size).resize((width, height), Image.Resampling.BOX)
        share = torch.from_numpy(np.asarray(mask, dtype=np.float32) / 255)
        background = recipe.mask_background
        weight = background + (1 - background) * share**recipe.mask_temperature
        weights.append(torch.stack([weight, weight.flip(-1)])[:, None])
    return torch.stack(weights)
