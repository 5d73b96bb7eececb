"""What a plan's model predicts, found out by its photos."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ticli.inversion.latents import encode_photos
from ticli.inversion.plan import Plan
from ticli.inversion.thrift import memory_of
from ticli.models.hardware import Hardware
from ticli.models.identifying import ModelSource
from ticli.models.model import Model
from ticli.models.single_files.probing import MOST_PHOTOS, find_prediction
from ticli.photos.cropping import training_picture


def prediction_by_photos(
    plan: Plan, hardware: Hardware, tell: Callable[[str], None]
) -> ModelSource:
    """The plan's model with what it predicts, told by denoising the plan's photos.

    Raises as find_prediction does, and BadContent where a photo cannot be encoded.
    """

    def encode(model: Model) -> torch.Tensor:
        photos = plan.photos.photos[:MOST_PHOTOS]
        pictures = [training_picture(photo, plan.recipe.size) for photo in photos]
        return encode_photos(model, pictures).mean[:, 0]

    with memory_of(plan):
        return find_prediction(plan.source, hardware, tell, encode)
