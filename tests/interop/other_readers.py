"""The reading rules of InvokeAI, SD.Next, kohya, OneTrainer and two trainers, written anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

INVOKE_WORD = re.compile(r"<([a-zA-Z0-9., _-]+)>")
INVOKE_BASES = {768: "sd-1", 1024: "sd-2", 1280: "sdxl"}
# How each base's encoders are called in a OneTrainer file.
ONETRAINER_KEYS = {
    "sd1": ("emp_params",),
    "sd2": ("emp_params",),
    "sdxl": ("clip_l", "clip_g"),
    "sd3": ("clip_l", "clip_g", "t5"),
    "flux": ("clip_l", "t5"),
    "pixart": ("t5",),
    "sana": ("gemma",),
}


class NotRead(Exception):
    """A file that the program does not take."""


def _load(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, weights_only=True)


def invokeai(path: Path) -> tuple[str, str, dict[str, torch.Tensor]]:
    """The word in a prompt, the base it is filed under, and the tensors.

    The base is told from the keys; a file of any other key is measured along its first axis.
    """
    data = _load(path)
    if "string_to_token" in data or "string_to_param" in data:
        tensors = {"one": next(iter(data["string_to_param"].values()))}
        width = tensors["one"].shape[-1]
    elif "emb_params" in data:
        tensors = {"one": data["emb_params"]}
        width = tensors["one"].shape[-1]
    elif "clip_g" in data and "clip_l" in data:
        tensors = {"clip_l": data["clip_l"], "clip_g": data["clip_g"]}
        width = tensors["clip_g"].shape[-1]
    else:
        tensors = {"one": next(iter(data.values()))}
        width = tensors["one"].shape[0]
    if width not in INVOKE_BASES:
        raise NotRead(f"unrecognized token dimension {width}")
    word = f"<{path.stem}>"
    if not INVOKE_WORD.fullmatch(word):
        raise NotRead(f"{word} is never found in a prompt")
    return word, INVOKE_BASES[width], tensors


def sdnext(path: Path, encoders: dict[int, set[str]]) -> tuple[list[str], dict[int, torch.Tensor]]:
    """The tokens that are added, and the tensor of each encoder, found by its width.

    `encoders` gives the width and the vocabulary of each of the model's encoders.
    """
    if path.suffix == ".safetensors":
        tensors = list(load_file(path).values())
    elif path.suffix == ".pt":
        tensors = [torch.load(path, weights_only=True)["string_to_param"]["*"]]
    else:
        raise NotRead(path.suffix)
    sizes = [tensor.shape[-1] for tensor in tensors]
    if any(size not in encoders for size in sizes) or len(sizes) > len(encoders):
        raise NotRead(f"vectors of {sizes} for {sorted(encoders)}")
    tokens = [path.stem if i == 0 else f"{path.stem}_{i}" for i in range(len(tensors[0]))]
    for vocabulary in encoders.values():
        if known := vocabulary & set(tokens):
            raise NotRead(f"{known} are ordinary words, and stay what they are")
    return tokens, dict(zip(sizes, tensors, strict=True))


def kohya(path: Path, vocabulary: set[str]) -> tuple[list[str], list[torch.Tensor]]:
    """The tokens that gen_img.py adds, and its tensors."""
    data = _load(path)
    if "string_to_param" in data:
        data = data["string_to_param"]
    if "clip_l" in data and "clip_g" in data:
        tensors = [data["clip_l"], data["clip_g"]]
    else:
        tensors = [next(iter(data.values()))]
    count = len(tensors[0])
    tokens = [path.stem if i == 0 else f"{path.stem}{i}" for i in range(count)]
    if known := vocabulary & set(tokens):
        raise NotRead(f"tokenizer has {known} already")
    return tokens, tensors


def onetrainer(path: Path, family: str) -> dict[str, torch.Tensor]:
    """The tensors of OneTrainer's own keys for a base; torch is tried first, then safetensors."""
    try:
        data = torch.load(path, weights_only=True)
    except Exception:  # any failure leads to the next reader
        data = load_file(path)
    keys = ONETRAINER_KEYS[family]
    if any(key not in data for key in keys):
        raise NotRead(f"{sorted(data)} lacks one of {keys}")
    return {key: data[key] for key in keys}


def invoke_training(path: Path, placeholder: str) -> torch.Tensor:
    """The tensor of a file whose one key is the placeholder."""
    data = _load(path)
    if list(data) != [placeholder]:
        raise NotRead(f"{sorted(data)} is not {placeholder}")
    return data[placeholder]


class OriginalManager(torch.nn.Module):
    """The part of the original code that holds words: it puts the file's objects in its own."""

    def __init__(self) -> None:
        super().__init__()
        self.string_to_token_dict: dict[str, torch.Tensor] = {}
        self.string_to_param_dict = torch.nn.ParameterDict()

    def load(self, path: Path) -> None:
        """Take over what a file holds; anything but a ParameterDict is no module."""
        saved = torch.load(path, map_location="cpu", weights_only=False)
        self.string_to_token_dict = saved["string_to_token"]
        self.string_to_param_dict = saved["string_to_param"]

    def replaced(self, token_ids: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        """The embedded prompt with each placeholder's first vector in its place."""
        for word, token in self.string_to_token_dict.items():
            rows = self.string_to_param_dict[word]
            embedded[torch.where(token_ids == token)] = rows[0].detach()
        return embedded
