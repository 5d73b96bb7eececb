"""Pictures and sentences as unit features of an encoder that no training sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from ticli.errors import Usage
from ticli.models.judging import Judge, Preprocessing

BATCH = 32


def picture_features(judge: Judge, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Unit features of pictures, (pictures, width), on the CPU.

    CLIP's are its projected ones; DINO's and DINOv2's the class token after the last norm
    (2104.14294, 2304.07193).
    """
    found = []
    for start in range(0, len(pictures), BATCH):
        pixels = torch.stack(
            [to_pixels(picture, judge.preprocessing) for picture in pictures[start : start + BATCH]]
        ).to(judge.device)
        with torch.no_grad():
            if judge.source.reads:
                features = _tensor(judge.module.get_image_features(pixel_values=pixels))
            else:
                features = judge.module(pixel_values=pixels).last_hidden_state[:, 0]
        found.append(features.float().cpu())
    return torch.nn.functional.normalize(torch.cat(found), dim=-1)


def sentence_features(judge: Judge, sentences: Sequence[str]) -> torch.Tensor:
    """Unit features of sentences, (sentences, width), on the CPU.

    Raises Usage for a sentence that the encoder would not read to its end.
    """
    for sentence in sentences:
        length = len(judge.tokenizer(sentence).input_ids)
        if length > judge.window:
            raise Usage(
                f"{judge.source.describe()} reads {judge.window - 2} tokens, and {sentence!r} has "
                f"{length - 2}",
                "shorten that prompt",
            )
    ids = judge.tokenizer(
        list(sentences), padding="max_length", max_length=judge.window, return_tensors="pt"
    ).to(judge.device)
    with torch.no_grad():
        features = _tensor(judge.module.get_text_features(**ids))
    return torch.nn.functional.normalize(features.float().cpu(), dim=-1)


def to_pixels(picture: Image.Image, how: Preprocessing) -> torch.Tensor:
    """Resize, cut out the middle and normalise: (3, height, width), float32."""
    image = picture.convert("RGB")
    size = how.exact or _with_short_side(image, how.shortest)
    if size != image.size:
        image = image.resize(size, Image.Resampling(how.resample))
    if how.crop:
        image = _middle(image, how.crop)
    values = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (how.mean, how.std))
    return (values - mean) / std


def _with_short_side(image: Image.Image, side: int | None) -> tuple[int, int]:
    if side is None:
        return image.size
    short, long = min(image.size), max(image.size)
    # Transformers and torchvision drop the fraction of the long side.
    far = int(side * long / short)
    return (side, far) if image.width <= image.height else (far, side)


def _middle(image: Image.Image, crop: tuple[int, int]) -> Image.Image:
    """The middle of a picture; where it is too small, black around it, as in transformers."""
    left, top = ((have - want) // 2 for have, want in zip(image.size, crop, strict=True))
    return image.crop((left, top, left + crop[0], top + crop[1]))


def _tensor(output: Any) -> torch.Tensor:
    """Features by themselves: newer transformers wrap them."""
    features: torch.Tensor = getattr(output, "pooler_output", output)
    return features
