"""What `ti models` tells of a model beside its source: size on disk, short name, notes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ticli.errors import ModelUnavailable
from ticli.models.families import FAMILIES
from ticli.models.files import place_of
from ticli.models.fingerprint import fingerprint
from ticli.models.identifying import encoder_parts
from ticli.models.short_names import short_names
from ticli.models.single_files.notes import remember
from ticli.models.single_files.single_file import NOTHING_GIVEN, WORDS, Given, SingleFile
from ticli.models.source import ModelSource, locate
from ticli.settings import Settings


def disk_use(source: ModelSource) -> int:
    """Bytes that a model's files take; links are followed, and each file is counted once.

    With a model in one file count the parts that are taken from its folder of components.
    """
    single = source.single
    seen: dict[tuple[int, int], int] = {}
    for path in [single.path, *_components(source, single)] if single else [source.folder]:
        for file in [path] if path.is_file() else _files_under(path):
            try:
                known = file.stat()
            except OSError:
                # A link whose file is gone takes nothing.
                continue
            seen[known.st_dev, known.st_ino] = known.st_size
    return sum(seen.values())


def _components(source: ModelSource, single: SingleFile) -> list[Path]:
    if not single.components:
        return []
    parts = [name for part in encoder_parts(source) for name in (part.folder, part.tokenizer)]
    with_us = {*single.prefixes, *single.pads}
    return [single.place(part) for part in (*parts, "vae") if part not in with_us]


def _files_under(folder: Path) -> list[Path]:
    return [Path(place) / name for place, _, files in os.walk(folder) for name in files]


def names_of(source: ModelSource) -> list[str]:
    """The short names that stand for a model."""
    return [
        name
        for name, model in short_names().items()
        if source.id in (model, str(place_of(model).absolute()))
    ]


def notes(source: ModelSource) -> list[str]:
    """What a user should know before using a model: its licence and its safety parts."""
    silent = "its metadata names no licence" if source.single else "its card names no licence"
    found = [f"licence: {source.license}" if source.license else silent]
    if source.single:
        found += _single_notes(source.single)
    if source.safety_checker:
        found.append("it comes with a safety checker, which ti does not use")
    if source.family == "sdxl":
        found.append(
            "its pipeline marks pictures invisibly where the package invisible-watermark is "
            "installed, and ti does so too"
        )
    return found


def current(settings: Settings) -> tuple[str, str]:
    """The id of the model that is used where none is named; else "" and why it cannot be had."""
    try:
        return locate(settings["model"], offline=True).id, ""
    except ModelUnavailable as error:
        return "", f"the current model ({settings.origin('model')}): {error.message}"


def check_file(model: str, given: Given) -> list[str]:
    """Look at a model in one file before it gets a short name; remember what is `given` of it.

    Returned is what a user should hear of it. Other models are not looked at. Raises
    ModelUnavailable and NotFound, and Usage where `given` says something of another model.
    """
    if given == NOTHING_GIVEN and not place_of(model).is_file():
        return []
    single = locate(model, given=given).single
    if single is None:
        return []
    remember(single.path, single.given)
    return single.remarks


def _single_notes(single: SingleFile) -> list[str]:
    found = []
    if single.components:
        found.append(f"what it lacks is taken from {single.components}")
    if single.prediction in WORDS:
        found.append(f"it predicts the {WORDS[single.prediction]}, as {single.told_by} says")
    return [*found, *single.remarks]


def listed(source: ModelSource, current: bool) -> dict[str, Any]:
    """A usable model as one JSON object; `absent` has the others."""
    return {
        "id": source.id,
        "family": source.family,
        "revision": source.revision,
        "widths": dict(source.widths),
        "windows": dict(source.windows),
        "size": source.size,
        "license": source.license,
        "folder": str(source.folder),
        "current": current,
        "names": names_of(source),
        "bytes": disk_use(source),
        "here": True,
        "problem": "",
    }


def described(source: ModelSource, current: bool) -> dict[str, Any]:
    """Everything that is known of a model, as one JSON object.

    Raises ModelUnavailable where its weights cannot be read.
    """
    sampler, steps, guidance = source.defaults
    components = source.single.components if source.single else None
    return listed(source, current) | {
        "pipeline": FAMILIES[source.family].pipeline,
        "fingerprint": fingerprint(source),
        "grain": source.grain,
        "defaults": {"sampler": sampler, "steps": steps, "guidance": guidance},
        "negative_prompt": source.reads_negative,
        "safety_checker": source.safety_checker,
        "single_file": source.single is not None,
        "prediction": source.single.prediction if source.single else None,
        "components": str(components) if components else None,
        "notes": notes(source),
    }
