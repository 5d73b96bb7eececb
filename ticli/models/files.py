"""The files of one part of a model: settings, weights whole or in shards, never pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ticli.errors import ModelUnavailable

STEMS = {"transformers": "model", "diffusers": "diffusion_pytorch_model"}
# Without a variant first: that is what a model's authors mean by its weights.
VARIANTS = (None, "fp16", "bf16")
PICKLED = "the download is incomplete, or the model has only pickled weights, which are never read"


def stem(part: Path) -> str:
    """The name its library gives the weights of a part: text encoders come from transformers."""
    return STEMS["transformers" if part.name.startswith("text_encoder") else "diffusers"]


def weights(part: Path, name: str) -> tuple[list[Path], str | None]:
    """The safetensors files of one part of a model, and its diffusers variant ("fp16" or None).

    Large weights lie in several files that an index names. Raises ModelUnavailable where one is
    missing or there is none: pickled weights are never read.
    """
    for variant in VARIANTS:
        dotted = f".{variant}" if variant else ""
        whole = part / f"{stem(part)}{dotted}.safetensors"
        if whole.is_file():
            return [whole], variant
        index = part / f"{stem(part)}.safetensors.index{dotted}.json"
        if index.is_file():
            return _shards(index, name), variant
    raise ModelUnavailable(f"{name} has no {part.name}/{stem(part)}.safetensors", PICKLED)


def _shards(index: Path, name: str) -> list[Path]:
    try:
        named = sorted({str(file) for file in read_json(index, name)["weight_map"].values()})
    except (KeyError, AttributeError) as error:
        raise ModelUnavailable(
            f"{index} does not say where the weights are", "download the model again"
        ) from error
    files = [index.parent / file for file in named]
    for file in files:
        if Path(file.name) != file.relative_to(index.parent) or not file.is_file():
            raise ModelUnavailable(f"{name} has no {index.parent.name}/{file.name}", PICKLED)
    return files


def place_of(name: str) -> Path:
    """The path that a name is: ~ is a home folder, but where there is none of that user."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def names_part(index: Mapping[str, object], part: str) -> bool:
    """Whether a model_index.json names a part: [null, null] stands for one that was left out."""
    entry = index.get(part)
    return isinstance(entry, list) and bool(entry and entry[0])


def read_json(path: Path, name: str) -> dict[str, Any]:
    """Read one JSON object of a model. Raises ModelUnavailable."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelUnavailable(
            f"{name} is not a model: it has no {path.parent.name}/{path.name}",
            "give a folder in the diffusers layout, the one that holds model_index.json",
        ) from None
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"{path} cannot be read: {error}", "download the model again"
        ) from error
    if not isinstance(document, dict):
        raise ModelUnavailable(f"{path} holds no settings", "download the model again")
    return document
