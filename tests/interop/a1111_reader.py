"""AUTOMATIC1111's rules for reading a word, its unpickler's among them, written anew."""

from __future__ import annotations

import base64
import io
import json
import pickle
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

# What the oldest version that is in use allows; later ones allow more.
MEMBERS = re.compile(r"[^/]+/(data/\d+|version|data\.pkl)")
STORAGES = ("Float", "Half", "Int", "Long", "Double", "Byte")
ALLOWED = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_device_tensor_from_numpy"),
    ("torch.nn.modules.container", "ParameterDict"),
    *(("torch", f"{kind}Storage") for kind in STORAGES),
}


class Refused(Exception):
    """A file that would be reported as malicious, or cannot be read."""


class _Strict(pickle.Unpickler):
    def persistent_load(self, saved: Any) -> Any:
        if saved[0] != "storage":
            raise Refused("something other than a storage is loaded by reference")
        return None

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise Refused(f"{module}.{name} is not allowed")
        return super().find_class(module, name)


class _Check(_Strict):
    """Tensors are not built while checking: their numbers are not there yet."""

    def find_class(self, module: str, name: str) -> Any:
        super().find_class(module, name)
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if name == "ParameterDict":
            return _Anything
        return lambda *arguments: None


class _Anything:
    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def check_pt(path: Path) -> None:
    """Raise Refused where the unpickler would."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in names:
            if not MEMBERS.fullmatch(name):
                raise Refused(f"bad file inside: {name}")
        programs = [name for name in names if name.endswith("/data.pkl")]
        if len(programs) != 1:
            raise Refused("not one data.pkl")
        _Check(io.BytesIO(archive.read(programs[0]))).load()


def read_word(path: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """The word to write in a prompt, and its tensors by place: "one", or "clip_l" and "clip_g"."""
    suffix = path.suffix.lower()
    if suffix in (".png", ".webp"):
        data = _picture(path)
        return data.get("name", path.stem), tensors_of(data)
    if suffix == ".safetensors":
        from safetensors.torch import load_file

        return path.stem, tensors_of(load_file(path))
    if suffix in (".pt", ".bin"):
        check_pt(path)
        return path.stem, tensors_of(torch.load(path, weights_only=False))
    raise Refused(f"no such kind of file: {path.name}")


def tensors_of(data: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of what a file holds: "one", or "clip_l" and "clip_g"."""
    if "string_to_param" in data:
        table = data["string_to_param"]
        table = getattr(table, "_parameters", table)
        if len(table) != 1:
            raise Refused("embedding file has multiple terms in it")
        return {"one": next(iter(table.values())).float()}
    if "clip_g" in data and "clip_l" in data:
        # It takes every value for a tensor there.
        every = {key: value.detach().float() for key, value in data.items()}
        return {key: every[key] for key in ("clip_l", "clip_g")}
    first = next(iter(data.values()))
    if isinstance(first, torch.Tensor):
        if len(data) != 1:
            raise Refused("embedding file has multiple terms in it")
        return {"one": (first.unsqueeze(0) if first.dim() == 1 else first).float()}
    raise Refused("no embedding in this file")


def shape(tensors: dict[str, torch.Tensor]) -> int:
    """The number a word is compared by with a model's: 768, 1024, or 2048 for SDXL."""
    return sum(tensor.shape[-1] for tensor in tensors.values())


def _picture(path: Path) -> dict[str, Any]:
    from PIL import Image

    with Image.open(path) as picture:
        text = getattr(picture, "text", {})
        if "sd-ti-embedding" in text:
            return _decoded(base64.b64decode(text["sd-ti-embedding"]))
        return read_pixels(np.asarray(picture.convert("RGB")))


def read_pixels(pixels: np.ndarray) -> dict[str, Any]:
    """Read the blocks left and right of a picture."""
    lit = (pixels > 0).all(axis=2)
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    cropped = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] & 0x0F
    black = np.flatnonzero(cropped.sum(axis=(0, 2)) == 0)
    if black.size < 2:
        raise Refused("no data blocks in this picture")
    low, high = cropped[:, : black[0]], cropped[:, black[-1] + 1 :]
    packed = (_revealed(high) << 4) | _revealed(low)
    return _decoded(zlib.decompressobj().decompress(packed.tobytes()))


def _revealed(block: np.ndarray) -> np.ndarray:
    state, noise = 0, np.zeros(block.size, np.uint8)
    for index in range(block.size):
        state = (1664525 * state + 1013904223) % 2**32
        noise[index] = state % 255 & 0x0F
    return block.reshape(-1) ^ noise


def _decoded(document: bytes) -> dict[str, Any]:
    def as_tensor(item: dict[str, Any]) -> Any:
        return torch.tensor(item["TORCHTENSOR"]) if "TORCHTENSOR" in item else item

    return json.loads(document, object_hook=as_tensor)
