"""One picture of a word that is still being learned."""

from __future__ import annotations

import torch
from PIL import Image

from ticli.generation.drawing import Wanted, settle
from ticli.generation.sampling import Encoded, draw
from ticli.models.model import Model, Rows
from ticli.models.painting import condition_pair


def draw_preview(model: Model, prompt: str, rows: Rows, seed: int) -> Image.Image:
    """Draw `prompt` with the vectors as they are, with the model's defaults.

    The VAE is loaded for it and leaves again; nothing random is drawn but from `seed`, so that a
    run with previews learns the same bits. Raises DeviceFailed.
    """
    vectors = {name: len(next(iter(keys.values()))) for name, keys in rows.items()}
    tokenised = [model.tokenise("", vectors, negative=True), model.tokenise(prompt, vectors)]
    with torch.no_grad():
        conditioning = condition_pair(model, tokenised, rows, negative=False)
        drawing = settle(Wanted(), model.source)
        (picture,) = draw(model, [(Encoded(conditioning, ()), seed)], drawing)
    return picture.image
