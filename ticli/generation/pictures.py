"""Finished pictures: PNG files that carry how they were made, and one sheet of several."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticli import __version__
from ticli.durable import make_folder, write_file
from ticli.errors import Conflict, Usage
from ticli.generation.picture_plan import (
    SUFFIX,
    Drawing,
    OutputPlace,
    PictureFile,
    PicturePlan,
    PlannedPicture,
    free_file,
)

if TYPE_CHECKING:
    from PIL.Image import Image

# Other programs open pictures too: a file gets these rights less the umask, unlike the library's.
MODE, FOLDER_MODE = 0o666, 0o777
# A sheet with more pixels a side than this is slow to open; its pictures are shrunk to fit.
LARGEST_SHEET = 8192


@dataclass
class Picture:
    """A finished picture, and the prompt and seed it was drawn from.

    `description` is what the file says about how it was made, and `seconds` what drawing took.
    `path` is where it was written, as printed; "-" for stdout, "" for nowhere. A `sheet` holds all
    pictures of a call, and `planned` is then the first of them.
    """

    image: Image
    planned: PlannedPicture
    seconds: float
    description: Mapping[str, Any] | None = None
    path: str = ""
    sheet: bool = False

    @property
    def seed(self) -> int:
        return self.planned.seed

    def png(self) -> bytes:
        """The picture as a PNG file that says how it was made."""
        return png_bytes(self.image, self.description)

    def save(self, path: str | Path) -> None:
        """Write the picture as a PNG, over a file of that name. Raises Usage for other suffixes."""
        target = check_png(Path(path), "a picture")
        write_file(target, self.png(), replace=True, mode=MODE)


def describe(plan: PicturePlan, planned: PlannedPicture) -> dict[str, Any]:
    """What is needed to draw a picture again, and nothing about this machine."""
    prompt, source, drawing = planned.prompt, plan.choice.source, plan.drawing
    return {
        "ti": __version__,
        "prompt": prompt.typed,
        "prompt_used": prompt.used,
        "negative": prompt.negative_typed,
        "negative_used": prompt.negative_used,
        "seed": planned.seed,
        "steps": drawing.steps,
        "guidance": drawing.guidance,
        "sampler": drawing.sampler,
        "width": drawing.width,
        "height": drawing.height,
        "model": {
            # Others may read this: of a local folder it gives only the name.
            "id": Path(source.id).name if Path(source.id).is_absolute() else source.id,
            "family": source.family,
            "revision": source.revision,
            "fingerprint": plan.choice.fingerprint,
        },
        "concepts": [
            {"name": concept.name, "token": concept.token, "sha256": concept.sha256}
            for concept in prompt.concepts
        ],
    }


def png_bytes(image: Image, description: Mapping[str, Any] | None = None) -> bytes:
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


def check_png(path: Path, what: str) -> Path:
    """Return a path that ends in .png. Raises Usage for any other suffix."""
    if path.suffix.lower() != SUFFIX:
        raise Usage(f"{what} cannot be written as {path.name!r}", "end its name in .png")
    return path


def write_pictures(plan: PicturePlan, pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Write pictures where the plan says, yielding each as soon as it is safe on the disk.

    The folder is made before the first is drawn; the sheet, if wanted, comes last. Pictures for
    stdout are passed on unwritten. Raises Conflict and TiError.
    """
    place = plan.place
    if place is not None:
        make_folder(place.folder, FOLDER_MODE)
    sheet = Sheet(len(plan.pictures), plan.drawing) if plan.grid else None
    seconds = 0.0
    for picture in pictures:
        seconds += picture.seconds
        if sheet is not None:
            sheet.add(picture.image)
        file, picture.path = picture.planned.file, "-"
        if file is not None and place is not None:
            picture.path = write_picture(picture.png(), file, place, force=plan.force).shown
        yield picture
    if sheet is not None and plan.grid is not None and place is not None:
        whole = Picture(sheet.image, plan.pictures[0], seconds, sheet=True)
        whole.path = write_picture(whole.png(), plan.grid, place, force=plan.force).shown
        yield whole


def write_picture(
    data: bytes, file: PictureFile, place: OutputPlace, *, force: bool
) -> PictureFile:
    """Write one file and return where it went.

    If another program took the name meanwhile, the next free number is used, unless the user gave
    the name. Raises Conflict then, and TiError if the disk is full or the folder is closed.
    """
    while True:
        try:
            write_file(file.path, data, replace=force, mode=MODE)
            return file
        except Conflict:
            if file.fixed:
                raise
            file = free_file(place, file.stem)


class Sheet:
    """A grid of equal pictures, filled one by one, as near to a square as their number allows."""

    def __init__(self, pictures: int, drawing: Drawing) -> None:
        from PIL import Image

        self._columns = math.ceil(math.sqrt(pictures))
        rows = math.ceil(pictures / self._columns)
        scale = min(1.0, LARGEST_SHEET / max(self._columns * drawing.width, rows * drawing.height))
        self._cell = max(1, int(drawing.width * scale)), max(1, int(drawing.height * scale))
        size = self._columns * self._cell[0], rows * self._cell[1]
        self.image = Image.new("RGB", size, "white")
        self._filled = 0

    def add(self, image: Image) -> None:
        """Put a picture into the next free cell, row by row."""
        row, column = divmod(self._filled, self._columns)
        fitted = image if image.size == self._cell else image.resize(self._cell)
        self.image.paste(fitted, (column * self._cell[0], row * self._cell[1]))
        self._filled += 1


def _parameters(description: Mapping[str, Any]) -> str:
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
    """The text without line ends: a second line could pass for the values of the picture."""
    return " ".join(text.replace("\0", " ").splitlines())
