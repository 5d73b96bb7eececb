"""A plan carried out: the model loaded, then pictures drawn and written one after the other."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import diffusers
import torch

from ticli.durable import make_folder
from ticli.generation.pictures import Engine, Sheet, describe, png_bytes, write_picture
from ticli.generation.planning import Plan, Planned
from ticli.generation.prompts import ResolvedPrompt
from ticli.generation.sampling import Encoded, Picture, draw, encode, place_rows
from ticli.models.hardware import Hardware
from ticli.models.model import Model, load_text
from ticli.models.single_files.probing import settle_prediction

FOLDER_MODE = 0o777


@dataclass(frozen=True)
class Studio:
    """A plan with its model loaded and every prompt encoded, in the plan's order."""

    plan: Plan
    model: Model
    engine: Engine
    encoded: tuple[Encoded, ...]


@dataclass(frozen=True)
class Made:
    """One finished file: where it went, or its bytes where it goes to standard output.

    `sheet` marks the sheet of all pictures, whose `planned` is the first of them.
    """

    planned: Planned
    shown: str
    data: bytes
    width: int
    height: int
    seconds: float
    sheet: bool = False


def prepare(
    plan: Plan, hardware: Hardware, tell: Callable[[str], None] = lambda text: None
) -> Studio:
    """Make the folder, load the model and encode every prompt.

    What was found out about a model that does not say what it predicts, and later what is given up
    for memory, is told to `tell`.
    Raises TiError where the folder cannot be made, ModelUnavailable, DeviceFailed, and Usage where
    a concept falls outside the encoder's window.
    """
    if plan.place is not None:
        make_folder(plan.place.folder, FOLDER_MODE)
    model = load_text(plan.choice.source, hardware)
    model.tell = tell
    rows = place_rows(plan.embeddings)
    encoded: dict[tuple[str, str], Encoded] = {}
    for prompt in (item.prompt for item in plan.pictures):
        if _key(prompt) not in encoded:
            encoded[_key(prompt)] = encode(model, prompt, rows)
    # Large encoders and the denoiser need not be in memory together.
    model.release_encoders()
    model.load_denoiser()
    found = settle_prediction(model)
    if found:
        tell(found)
    in_order = tuple(encoded[_key(item.prompt)] for item in plan.pictures)
    return Studio(plan, model, _engine(plan, hardware), in_order)


def cut_texts(studio: Studio) -> list[str]:
    """The words that the model does not read because a prompt is too long, each once."""
    return list(dict.fromkeys(text for encoded in studio.encoded for text in encoded.cut))


def make(studio: Studio) -> Iterator[Made]:
    """Draw and write the plan's pictures, yielding each as soon as it is safe on the disk.

    The sheet, where one is wanted, comes last. Raises DeviceFailed, Conflict and TiError.
    """
    plan = studio.plan
    seeds = [item.seed for item in plan.pictures]
    sheet = Sheet(len(seeds), plan.drawing) if plan.grid else None
    seconds = 0.0
    jobs = list(zip(studio.encoded, seeds, strict=True))
    for planned, picture in zip(plan.pictures, draw(studio.model, jobs, plan.drawing), strict=True):
        seconds += picture.seconds
        if sheet is not None:
            sheet.add(picture.image)
        yield _finished(studio, planned, picture)
    if sheet is not None and plan.grid is not None and plan.place is not None:
        image = sheet.image
        target = write_picture(png_bytes(image), plan.grid, plan.place, force=plan.force)
        size = image.width, image.height
        yield Made(plan.pictures[0], target.shown, b"", *size, seconds, sheet=True)


def _key(prompt: ResolvedPrompt) -> tuple[str, str]:
    return prompt.used, prompt.negative_used


def _finished(studio: Studio, planned: Planned, picture: Picture) -> Made:
    plan, image = studio.plan, picture.image
    description = describe(planned.prompt, picture.seed, plan.drawing, studio.engine)
    data = png_bytes(image, description)
    if planned.target is None or plan.place is None:
        return Made(planned, "-", data, image.width, image.height, picture.seconds)
    target = write_picture(data, planned.target, plan.place, force=plan.force)
    return Made(planned, target.shown, b"", image.width, image.height, picture.seconds)


def _engine(plan: Plan, hardware: Hardware) -> Engine:
    device, _, dtype = hardware.describe().partition(" ")
    versions = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "diffusers": str(diffusers.__version__),
    }
    choice = plan.choice
    return Engine(choice.source, choice.fingerprint, device, dtype.strip("()"), versions)
