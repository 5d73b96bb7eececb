"""Where a base model lies and what it is, read from its small files: no torch, no network."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticli.errors import ModelUnavailable, Usage

STARTER = Path(__file__).parent / "starter"
STARTER_ID = "starter"
PIPELINE = "StableDiffusionPipeline"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class ModelSource:
    """A usable model. `id` is "starter", an absolute folder, or a hub id.

    `widths` and `windows` give, for each text encoder, the width of its vectors and how many
    tokens it reads, start and end included; `size` is the model's own pixels a side.
    """

    id: str
    folder: Path
    revision: str
    family: str
    widths: Mapping[str, int]
    windows: Mapping[str, int]
    size: int
    license: str
    safety_checker: bool

    @property
    def is_starter(self) -> bool:
        return self.id == STARTER_ID

    def describe(self) -> str:
        """The id, with the version of a starter or the commit of a hub model."""
        return f"{self.id} {self.revision[:8]}".strip()


def starter() -> ModelSource:
    """The small model that comes with `ti`."""
    card = (STARTER / "README.md").read_text("utf-8")
    version = re.search(r"^## This version\s+`([^`]+)`", card, re.MULTILINE)
    return identify(STARTER, STARTER_ID, version[1] if version else "")


def locate(name: str, *, offline: bool = True) -> ModelSource:
    """Find the model a user named: "" or "starter", a diffusers folder, or a hub id in the cache.

    Nothing is downloaded, so `offline` changes only the advice. Raises ModelUnavailable.
    """
    if name in ("", STARTER_ID):
        return starter()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return identify(folder.absolute(), str(folder.absolute()), "")
    if folder.is_file():
        raise ModelUnavailable(
            f"{name} is a single file, which ti cannot read yet",
            "give a folder in the diffusers layout",
        )
    if HUB_ID.fullmatch(name) and not name.startswith("."):
        return _cached(name, offline)
    raise ModelUnavailable(
        f"no model folder {name!r}", "ti models lists what can be used; -m starter always works"
    )


def _cached(name: str, offline: bool) -> ModelSource:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    fetch = f"fetch it first: hf download {name}"
    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except HFValidationError as error:
        raise Usage(f"{name!r} is no hub id: {error}") from error
    except LocalEntryNotFoundError as error:
        raise ModelUnavailable(
            f"model {name} is neither a folder nor in the hub cache",
            "go online and " + fetch if offline else fetch,
        ) from error
    return identify(folder, name, folder.name)


def usable(configured: str = "") -> list[ModelSource]:
    """The starter, the configured model, and every usable model of the hub cache."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    found = {STARTER_ID: starter()}
    names = [configured] if configured else []
    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        repos = frozenset()
    names += sorted(repo.repo_id for repo in repos if repo.repo_type == "model")
    for name in names:
        try:
            source = locate(name)
        except (ModelUnavailable, Usage):
            # The cache also holds models of other kinds, and downloads that were cut off.
            continue
        found[source.id] = source
    return list(found.values())


def identify(folder: Path, name: str, revision: str) -> ModelSource:
    """Read a diffusers folder's configuration. Raises ModelUnavailable saying what is missing."""
    index = _read_json(folder / "model_index.json", name)
    pipeline = index.get("_class_name")
    if pipeline != PIPELINE:
        raise ModelUnavailable(
            f"{name} is a {pipeline}, which ti cannot use yet", f"usable so far: {PIPELINE}"
        )
    for part in ("text_encoder", "unet", "vae"):
        weights(folder / part, name)
    text = _read_json(folder / "text_encoder" / "config.json", name)
    unet = _read_json(folder / "unet" / "config.json", name)
    vae = _read_json(folder / "vae" / "config.json", name)
    try:
        width, window = int(text["hidden_size"]), int(text["max_position_embeddings"])
        size = int(unet["sample_size"]) * 2 ** (len(vae["block_out_channels"]) - 1)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelUnavailable(
            f"{name} has a configuration that lacks {error}", "download the model again"
        ) from error
    # Stable Diffusion 2 took OpenCLIP ViT-H, whose vectors have 1024 numbers.
    family, key = ("sd2", "clip_h") if width == 1024 else ("sd1", "clip_l")
    return ModelSource(
        id=name,
        folder=folder,
        revision=revision,
        family=family,
        widths={key: width},
        windows={key: window},
        size=size,
        license=_license(folder),
        safety_checker=bool((index.get("safety_checker") or [None])[0]),
    )


def weights(part: Path, name: str) -> tuple[Path, str | None]:
    """The safetensors file of one part of a model, and its diffusers variant ("fp16" or None).

    Raises ModelUnavailable where there is none: pickled weights are never read.
    """
    stem = "model" if part.name == "text_encoder" else "diffusion_pytorch_model"
    for variant in (None, "fp16"):
        file = part / (f"{stem}.{variant}.safetensors" if variant else f"{stem}.safetensors")
        if file.is_file():
            return file, variant
    raise ModelUnavailable(
        f"{name} has no {part.name}/{stem}.safetensors",
        "the download is incomplete, or the model has only pickled weights, which are never read",
    )


def vocabulary(source: ModelSource) -> dict[str, int]:
    """The tokenizer's words, `</w>` marking a word's end, with their ids."""
    words = _read_json(source.folder / "tokenizer" / "vocab.json", source.id)
    return {str(word): int(number) for word, number in words.items()}


def _license(folder: Path) -> str:
    card = folder / "README.md"
    text = card.read_text("utf-8", errors="replace") if card.is_file() else ""
    front = re.search(r"^license: *(\S+)", text, re.MULTILINE)
    offered = re.search(r"offered under ([\w.-]*\w)", text)
    return front[1] if front else offered[1] if offered else ""


def _read_json(path: Path, name: str) -> dict[str, Any]:
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
