"""Masks of photos as weights on the grid of their latents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from ticli.recipe import Recipe


def mask_weights(
    masks: Sequence[Image.Image], recipe: Recipe, grid: tuple[int, int]
) -> torch.Tensor:
    """Weights in [0, 1] of each latent of a picture and its mirror image, (pictures, 2, 1, *grid).

    m is the share of a latent's pixels that a mask, of levels of grey, leaves, and the weight
    b + (1 − b)·m^τ with the recipe's background b and temperature τ.
    """
    height, width = grid
    weights = []
    for mask in masks:
        small = mask.resize((width, height), Image.Resampling.BOX)
        share = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)
        background = recipe.mask_background
        weight = background + (1 - background) * share**recipe.mask_temperature
        weights.append(torch.stack([weight, weight.flip(-1)])[:, None])
    return torch.stack(weights)
