"""Which picture encoder belongs to a model's text encoder, read from settings: no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticli.errors import Conflict, ModelUnavailable, NotFound
from ticli.models.families import FAMILIES
from ticli.models.families.family import EncoderPart
from ticli.models.files import read_json
from ticli.models.identifying import ModelSource

# Where a model of diffusers keeps the picture encoder that came with its text encoder.
FOLDER = "image_encoder"
OWN = "model"
# CLIP's own, for a folder that does not say (2103.00020).
MEAN, SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Tower:
    """A CLIP's picture half in `folder` and the encoder of the model that its text half fits.

    `text` is the folder of that text half; `size` is in pixels a side, `mean` and `spread` are
    those of its pixels from 0 to 1.
    """

    part: EncoderPart
    folder: Path
    text: Path
    size: int
    mean: tuple[float, ...]
    spread: tuple[float, ...]


def find_tower(source: ModelSource, named: str) -> Tower:
    """Find the CLIP that a user named for a model: a folder, or "model" for the model's own.

    Raises NotFound, ModelUnavailable, and Conflict where its text half is of another width.
    """
    clips = [part for part in FAMILIES[source.family].encoders if part.kind == "clip"]
    if named == OWN:
        return _own(source, clips)
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise NotFound(
            f"no CLIP folder {named!r}",
            f"name a folder, or {OWN} for the model's own image encoder",
        )
    settings = read_json(folder / "config.json", named)
    text, vision = settings.get("text_config"), settings.get("vision_config")
    if not isinstance(text, dict) or not isinstance(vision, dict):
        raise ModelUnavailable(
            f"{named} is no CLIP of text and pictures: it is {settings.get('model_type')!r}",
            "give the folder of a transformers CLIPModel",
        )
    width = text.get("hidden_size", 512)
    for part in clips:
        if source.widths[part.key] == width:
            return _tower(part, folder, folder, vision)
    widths = ", ".join(f"{source.widths[part.key]} ({part.key})" for part in clips)
    raise Conflict(
        f"{named} reads vectors of {width} numbers, and {source.id} has {widths or 'no CLIP'}",
        "give the CLIP that the model's text encoder comes from",
    )


def _own(source: ModelSource, clips: list[EncoderPart]) -> Tower:
    folder = source.folder / FOLDER
    fitting = [part for part in clips if part.projected]
    if not fitting or not (folder / "config.json").is_file():
        raise ModelUnavailable(
            f"{source.id} has no image encoder that matches its text encoder",
            "give the folder of the CLIP that its text encoder comes from, or no --warm-start",
        )
    settings = read_json(folder / "config.json", source.id)
    for part in fitting:
        text = source.folder / part.folder
        if _projection(read_json(text / "config.json", source.id)) == _projection(settings):
            return _tower(part, folder, text, settings)
    raise ModelUnavailable(
        f"the image encoder of {source.id} belongs to none of its text encoders",
        "give the folder of the CLIP that its text encoder comes from, or no --warm-start",
    )


def _projection(settings: Mapping[str, Any]) -> Any:
    return settings.get("projection_dim", 512)


def _tower(part: EncoderPart, folder: Path, text: Path, vision: Mapping[str, Any]) -> Tower:
    pixels = _preprocessing(folder)
    try:
        size = int(vision.get("image_size", 224))
        mean = tuple(float(value) for value in pixels.get("image_mean", MEAN))
        spread = tuple(float(value) for value in pixels.get("image_std", SPREAD))
        if size < 1 or len(mean) != 3 or len(spread) != 3 or not all(spread):
            raise ValueError(f"size {size}, mean {mean}, deviation {spread}")
    except (TypeError, ValueError) as error:
        raise ModelUnavailable(
            f"{folder} does not say how its pictures are to be prepared: {error}",
            "download the model again",
        ) from error
    return Tower(part, folder, text, size, mean, spread)


def _preprocessing(folder: Path) -> dict[str, Any]:
    """The settings of the pixels: beside the weights, or where diffusers keeps them; else none."""
    for place in (folder, folder.parent / "feature_extractor"):
        file = place / "preprocessor_config.json"
        if file.is_file():
            return read_json(file, str(folder))
    return {}
