"""Pictures as PNG files that carry how they were made, and one sheet of several."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticli import __version__
from ticli.durable import write_file
from ticli.errors import Conflict
from ticli.generation.picture_plan import Drawing, Place, Target, free_target
from ticli.generation.prompts import ResolvedPrompt
from ticli.models.locate import ModelSource

if TYPE_CHECKING:
    from PIL.Image import Image


# Pictures are for other programs too: what a file gets less the umask, unlike the library's own.
MODE = 0o666
# A sheet of more pixels a side than this is slow to open; its pictures are shrunk to fit.
LARGEST_SHEET = 8192


@dataclass(frozen=True)
class Engine:
    """What drew the pictures of a call: model, its fingerprint, device, precision, versions."""

    source: ModelSource
    fingerprint: str
    device: str
    dtype: str
    versions: dict[str, str]


def describe(prompt: ResolvedPrompt, seed: int, drawing: Drawing, engine: Engine) -> dict[str, Any]:
    """Everything that is needed to draw the picture again, and nothing about this machine."""
    source = engine.source
    return {
        "ti": __version__,
        "prompt": prompt.typed,
        "prompt_used": prompt.used,
        "negative": prompt.negative_typed,
        "negative_used": prompt.negative_used,
        "seed": seed,
        "steps": drawing.steps,
        "guidance": drawing.guidance,
        "sampler": drawing.sampler,
        "width": drawing.width,
        "height": drawing.height,
        "model": {
            "id": public_id(source),
            "family": source.family,
            "revision": source.revision,
            "fingerprint": engine.fingerprint,
        },
        "concepts": [
            {"name": concept.name, "token": concept.token, "sha256": concept.sha256}
            for concept in prompt.concepts
        ],
        "device": engine.device,
        "dtype": engine.dtype,
        "versions": engine.versions,
    }


def public_id(source: ModelSource) -> str:
    """The model's id as others may read it: of a local folder only its own name."""
    return Path(source.id).name if Path(source.id).is_absolute() else source.id


def png_bytes(image: Image, description: dict[str, Any] | None = None) -> bytes:
    """Encode a picture; equal pictures and descriptions give equal bytes.

    `ti` holds the description as JSON, `parameters` the line that other picture tools read.
    """
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Software", f"ti {__version__}")
    if description:
        text.add_text("ti", json.dumps(description))
        text.add_text("parameters", _parameters(description))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def write_picture(data: bytes, target: Target, place: Place, *, force: bool) -> Target:
    """Write a finished picture and return where it went.

    A name that another program took meanwhile makes way for the next free number, unless the user
    gave it. Raises Conflict then, and TiError where the disk is full or the folder is closed.
    """
    while True:
        try:
            write_file(target.path, data, replace=force, mode=MODE)
            return target
        except Conflict:
            if target.fixed:
                raise
            target = free_target(place, target.stem)


class Sheet:
    """A grid of equal pictures, filled one by one, as near to a square as their number allows."""

    def __init__(self, pictures: int, drawing: Drawing) -> None:
        from PIL import Image

        self._columns = math.ceil(math.sqrt(pictures))
        rows = math.ceil(pictures / self._columns)
        wide, high = self._columns * drawing.width, rows * drawing.height
        scale = min(1.0, LARGEST_SHEET / max(wide, high))
        self._cell = max(1, int(drawing.width * scale)), max(1, int(drawing.height * scale))
        self._image = Image.new(
            "RGB", (self._columns * self._cell[0], rows * self._cell[1]), "white"
        )
        self._filled = 0

    def add(self, image: Image) -> None:
        """Put a picture into the next free cell, row by row."""
        row, column = divmod(self._filled, self._columns)
        fitted = image if image.size == self._cell else image.resize(self._cell)
        self._image.paste(fitted, (column * self._cell[0], row * self._cell[1]))
        self._filled += 1

    @property
    def image(self) -> Image:
        return self._image


def _parameters(description: dict[str, Any]) -> str:
    """The text that AUTOMATIC1111's web UI writes and most picture viewers understand."""
    lines = [_one_line(description["prompt_used"])]
    if description["negative_used"]:
        lines.append(f"Negative prompt: {_one_line(description['negative_used'])}")
    values = {
        "Steps": description["steps"],
        "Sampler": description["sampler"],
        "CFG scale": description["guidance"],
        "Seed": description["seed"],
        "Size": f"{description['width']}x{description['height']}",
        "Model": _one_line(description["model"]["id"]),
        "Version": f"ti {description['ti']}",
    }
    return "\n".join([*lines, ", ".join(f"{key}: {value}" for key, value in values.items())])


def _one_line(text: str) -> str:
    """The text without line ends: a line of its own could pass for the values of the picture."""
    return " ".join(text.replace("\0", " ").splitlines())
