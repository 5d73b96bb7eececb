"""Image encoders for scores: CLIP compares pictures with text, DINO compares pictures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticli.errors import ModelUnavailable
from ticli.models.folder import read_json
from ticli.models.locate import HUB_ID, STARTER, STARTER_ID, starter_version

if TYPE_CHECKING:
    import torch


# What transformers calls them; DINO's weights are those of a plain ViT (2104.14294).
CLIP, DINO = "clip", ("vit", "dinov2", "dinov2_with_registers")
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class ImageEncoderSource:
    """An image encoder on disk. `id` is "starter", a folder or a hub id; `reads` is False for DINO.

    `sha256` is the hash of its weights, so that a score says exactly which encoder it is from.
    """

    id: str
    folder: Path
    revision: str
    kind: str
    sha256: str

    @property
    def reads(self) -> bool:
        """Whether it can compare pictures with sentences."""
        return self.kind == CLIP

    def describe(self) -> str:
        """Its id, with the commit of a hub model."""
        name = "the starter's scorer" if self.id == STARTER_ID else self.id
        return f"{name} {self.revision[:8]}".strip()


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes an encoder's input; sizes in pixels, `resample` is Pillow's number.

    `shortest` resizes the short side, `exact` (width, height) both; `crop` is (width, height).
    """

    shortest: int | None
    exact: tuple[int, int] | None
    crop: tuple[int, int] | None
    resample: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class ImageEncoder:
    """A loaded encoder in evaluation mode; `tokenizer` is None if it reads no text."""

    source: ImageEncoderSource
    module: Any
    tokenizer: Any
    window: int
    preprocessing: Preprocessing


def locate_image_encoder(name: str) -> ImageEncoderSource:
    """Find an encoder: "starter", a folder in transformers' layout, or a hub id in the cache.

    Nothing is downloaded. Raises ModelUnavailable that names what is missing.
    """
    if name == STARTER_ID:
        return _identify(STARTER / "scorer", STARTER_ID, starter_version())
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _identify(folder.absolute(), str(folder.absolute()), "")
    if HUB_ID.fullmatch(name) and not name.startswith("."):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            cached = Path(snapshot_download(name, local_files_only=True))
        except (LocalEntryNotFoundError, HFValidationError) as error:
            raise ModelUnavailable(
                f"encoder {name} is neither a folder nor in the hub cache",
                f"fetch it first: hf download {name}",
            ) from error
        return _identify(cached, name, cached.name)
    raise ModelUnavailable(
        f"no encoder folder {name!r}", "--encoder takes starter, a folder, or a hub id in the cache"
    )


def load_image_encoder(source: ImageEncoderSource, device: torch.device) -> ImageEncoder:
    """Load an encoder in float32, frozen. Raises ModelUnavailable if a file is damaged."""
    import torch
    import transformers

    from ticli.models.model import load_whole, loading

    kind = {CLIP: "CLIPModel", "vit": "ViTModel"}.get(source.kind, "AutoModel")
    # DINO's feature is the class token itself, without the pooling layer of a ViT.
    extra = {"add_pooling_layer": False} if source.kind == "vit" else {}
    tokenizer, window = None, 0
    with loading(source.id, "encoder"):
        module = load_whole(
            getattr(transformers, kind), source.folder, dtype=torch.float32, **extra
        ).to(device)
        if source.reads:
            tokenizer = transformers.CLIPTokenizer.from_pretrained(
                source.folder, local_files_only=True
            )
            window = int(module.config.text_config.max_position_embeddings)
    return ImageEncoder(source, module, tokenizer, window, _preprocessing(source))


def _preprocessing(source: ImageEncoderSource) -> Preprocessing:
    """Read preprocessor_config.json. Raises ModelUnavailable if it is missing or damaged."""
    settings = _read_json(source.folder / "preprocessor_config.json", source.id)
    try:
        size = settings.get("size") if settings.get("do_resize", True) else None
        if isinstance(size, int):
            # In old files one number is the short side for CLIP, and both sides for a ViT.
            size = {"shortest_edge": size} if source.reads else {"height": size, "width": size}
        size = size or {}
        crop = settings.get("crop_size") if settings.get("do_center_crop") else None
        if isinstance(crop, int):
            crop = {"height": crop, "width": crop}
        return Preprocessing(
            shortest=int(size["shortest_edge"]) if "shortest_edge" in size else None,
            exact=(int(size["width"]), int(size["height"])) if "height" in size else None,
            crop=(int(crop["width"]), int(crop["height"])) if crop else None,
            resample=int(settings.get("resample", 3)),
            mean=tuple(float(value) for value in settings["image_mean"]),
            std=tuple(float(value) for value in settings["image_std"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelUnavailable(
            f"{source.id} has a preprocessor_config.json without {error}", "download it again"
        ) from error


def _identify(folder: Path, name: str, revision: str) -> ImageEncoderSource:
    kind = _read_json(folder / "config.json", name).get("model_type")
    if kind != CLIP and kind not in DINO:
        raise ModelUnavailable(
            f"{name} is a {kind}, which cannot compare pictures here",
            f"give a CLIP ({CLIP}) or a DINO ({', '.join(DINO)})",
        )
    try:
        with (folder / WEIGHTS).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelUnavailable(
            f"encoder {name} has no {WEIGHTS} that can be read",
            "pickled weights are never read: if you trust it, load it in transformers, write it "
            "with save_pretrained, and give that folder",
        ) from error
    return ImageEncoderSource(name, folder, revision, str(kind), sha256)


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        return read_json(path, name)
    except ModelUnavailable as error:
        raise ModelUnavailable(
            f"{name} is not an encoder: {path.name} cannot be read",
            "give a folder in transformers' layout, with config.json and preprocessor_config.json",
        ) from error
