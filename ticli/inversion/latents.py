"""Photos as latents: encoded once, mean and spread kept, resampled every step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load, save

from ticli.durable import write_file
from ticli.errors import BadContent
from ticli.models.memory import out_of_memory
from ticli.models.model import Model

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Latents:
    """Scaled latent distributions, each (photos, 2, channels, height/8, width/8), float32.

    The second axis holds a photo and its mirror image.
    """

    mean: torch.Tensor
    spread: torch.Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of one latent."""
        height, width = self.mean.shape[-2:]
        return height, width

    def sample(
        self, photos: torch.Tensor, mirrored: torch.Tensor, normal: torch.Tensor
    ) -> torch.Tensor:
        """Draw latents for photo indices: mean + spread · normal, (batch, channels, h, w)."""
        sides = mirrored.long()
        return self.mean[photos, sides] + self.spread[photos, sides] * normal


def encode_photos(model: Model, pictures: Sequence[Image.Image]) -> Latents:
    """Encode square RGB pictures of one size, one at a time, in float32.

    Half precision overflows in some VAEs, so none is used. Where the device is out of memory the
    CPU encodes them. Raises BadContent where an encoding is not finite.
    """
    try:
        latents = _encode(model, pictures, model.device)
    except RuntimeError as error:
        if model.device.type == "cpu" or not out_of_memory(error):
            raise
        latents = None
    if latents is None:
        model.note_given_up(f"{model.device} is out of memory: photos are encoded on the CPU")
        latents = _encode(model, pictures, torch.device("cpu"))
    if not (latents.mean.isfinite().all() and latents.spread.isfinite().all()):
        raise BadContent(
            f"the VAE of {model.source.id} turns a photo into numbers that are not finite",
            "try another --size, or another model",
        )
    return latents


def _encode(model: Model, pictures: Sequence[Image.Image], device: torch.device) -> Latents:
    means, spreads = [], []
    with model.vae(device) as vae, torch.no_grad():
        for picture in pictures:
            pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32).copy())
            pixels = (pixels / 127.5 - 1).permute(2, 0, 1)
            both = torch.stack([pixels, pixels.flip(-1)]).to(vae.device)
            mean, spread = model.encode(vae, both)
            means.append(mean.cpu())
            spreads.append(spread.cpu())
    return Latents(torch.stack(means).contiguous(), torch.stack(spreads).contiguous())


def save_latents(path: Path, latents: Latents) -> None:
    """Write a run's latents, durably."""
    write_tensors(path, {"mean": latents.mean, "spread": latents.spread}, {})


def load_latents(path: Path) -> Latents:
    """Read a run's latents. Raises BadContent where the file is damaged."""
    tensors = read_tensors(path)
    return Latents(tensors["mean"], tensors["spread"])


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, str]
) -> None:
    # Copied, since the format refuses tensors that share memory, as rows kept twice may.
    plain = {name: tensor.cpu().clone().contiguous() for name, tensor in tensors.items()}
    write_file(path, save(plain, {**facts, "sha256": _sum(plain)}), replace=True)


def read_tensors(path: Path) -> Tensors:
    try:
        data = path.read_bytes()
        tensors: Tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        facts = json.loads(data[8 : 8 + length])["__metadata__"]
        if facts.pop("sha256") != _sum(tensors):
            raise ValueError("its checksum is wrong")
    except Exception as error:
        # safetensors raises a type of its own that derives from Exception alone.
        raise BadContent(
            f"the unfinished run's {path.name} is damaged: {error}", "start over with --fresh"
        ) from error
    return tensors


Tensors = dict[str, torch.Tensor]


def _sum(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
