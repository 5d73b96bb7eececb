"""A CLIP's text and picture encoders, whose answers meet in one space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import normalize

from ticli.errors import Conflict
from ticli.models.encoders import Rows, TextEncoder
from ticli.models.image_towers import Tower
from ticli.models.loading import load_folder
from ticli.models.model import Model
from ticli.models.text import Tokenised

if TYPE_CHECKING:
    from PIL import Image

# Of the largest number of the table: what half precision on a disk may have rounded away.
ROUNDED = 1e-2


@dataclass(frozen=True)
class ClipPair:
    """Both halves, frozen, in float32; `encoder` is keyed like the model's own."""

    encoder: TextEncoder
    vision: Any
    tower: Tower

    def texts(self, prompts: Sequence[Tokenised], rows: Rows) -> torch.Tensor:
        """What prompts say, unit vectors (batch, width); gradients flow to the rows."""
        pooled = self.encoder.encode(prompts, rows).pooled
        if pooled is None:
            raise TypeError("an encoder that pools gave no pooled text")
        return normalize(pooled, dim=1)

    def pictures(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """What square RGB pictures of the tower's size show, unit vectors (batch, width)."""
        mean, spread = (torch.tensor(values) for values in (self.tower.mean, self.tower.spread))
        pixels = np.stack([np.asarray(picture, dtype=np.float32) / 255 for picture in pictures])
        batch = ((torch.from_numpy(pixels) - mean) / spread).permute(0, 3, 1, 2)
        with torch.no_grad():
            found = self.vision(batch.to(self.encoder.table.device)).image_embeds
        return normalize(found, dim=1)


def load_clip_pair(model: Model, tower: Tower) -> ClipPair:
    """Load both halves beside a model.

    Raises ModelUnavailable, DeviceFailed, and Conflict where the text half's vocabulary is not
    the model's: vectors found for the one would mean nothing to the other.
    """
    (own,) = (encoder for encoder in model.encoders if encoder.key == tower.part.key)
    text = load_folder(tower.text, "CLIPTextModelWithProjection").to(model.device)
    vision = load_folder(tower.folder, "CLIPVisionModelWithProjection").to(model.device)
    part = replace(tower.part, projected=True, pooled=True)
    encoder = TextEncoder(own.key, text, own.tokenizer, own.window, part)
    table, wanted = encoder.table.float(), own.table.float()
    if table.shape != wanted.shape or (table - wanted).abs().max() > ROUNDED * wanted.abs().max():
        raise Conflict(
            f"the CLIP in {tower.text} has other vectors for words than {model.source.id}",
            "give the CLIP that the model's text encoder comes from",
        )
    return ClipPair(encoder, vision, tower)
