"""What `ti models` and `ti doctor` say about a model: size on disk, short names, notes, checks."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ticli import __version__
from ticli.errors import Check, ModelUnavailable, TiError
from ticli.families import FAMILIES
from ticli.models.fingerprint import fingerprint
from ticli.models.folder import encoder_parts, place_of
from ticli.models.hardware import pick_hardware
from ticli.models.locate import ModelSource, locate, short_names
from ticli.models.single_files.assembly import remember
from ticli.models.single_files.recognising import NOTHING_GIVEN, PREDICTION_WORDS, Given
from ticli.settings import Settings


def disk_use(source: ModelSource) -> int:
    """Bytes of a model's files and components; links are followed, each file is counted once."""
    paths, single = [source.folder], source.single
    if single and single.components:
        parts = [name for part in encoder_parts(source) for name in (part.folder, part.tokenizer)]
        with_us = {*single.prefixes, *single.pads}
        paths += [single.place(part) for part in (*parts, "vae") if part not in with_us]
    seen: dict[tuple[int, int], int] = {}
    for path in paths:
        under = [Path(place) / name for place, _, names in os.walk(path) for name in names]
        for file in [path] if path.is_file() else under:
            # A link to a missing file takes no space.
            with suppress(OSError):
                known = file.stat()
                seen[known.st_dev, known.st_ino] = known.st_size
    return sum(seen.values())


def notes(source: ModelSource) -> list[str]:
    """What a user should know before using a model."""
    single = source.single
    silent = f"its {'metadata' if single else 'card'} names no licence"
    found = [f"licence: {source.license}" if source.license else silent]
    if single:
        if single.components:
            found.append(f"what it lacks is taken from {single.components}")
        if single.prediction in PREDICTION_WORDS:
            predicted = PREDICTION_WORDS[single.prediction]
            found.append(f"it predicts the {predicted}, as {single.told_by} says")
        found += single.remarks
    if source.safety_checker:
        found.append("it comes with a safety checker, which ti does not use")
    return [*found, *FAMILIES[source.family].notes]


def current(settings: Settings) -> tuple[str, str]:
    """The id of the model used by default; or "" and why it is not available."""
    try:
        return locate(settings["model"], offline=True).id, ""
    except ModelUnavailable as error:
        return "", f"the current model ({settings.origin('model')}): {error.message}"


def check_file(model: str, given: Given) -> list[str]:
    """Check a model in one file before it gets a short name, and remember what is `given`.

    Returns what a user should know about it; other models are not checked. Raises ModelUnavailable
    and NotFound, and Usage if `given` is about another kind of model.
    """
    if given == NOTHING_GIVEN and not place_of(model).is_file():
        return []
    single = locate(model, given=given).single
    if single is None:
        return []
    remember(single.path, single.given)
    return single.remarks


def listed(source: ModelSource, current: bool) -> dict[str, Any]:
    """A usable model as one JSON object, with the short names that stand for it."""
    names = [
        name
        for name, model in short_names().items()
        if source.id in (model, str(place_of(model).absolute()))
    ]
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
        "names": names,
        "bytes": disk_use(source),
        "here": True,
        "problem": "",
    }


def described(source: ModelSource, current: bool) -> dict[str, Any]:
    """Everything known about a model as one JSON object. Raises ModelUnavailable."""
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


PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "pillow", "sqlite-utils")
LITTLE_MEMORY = 1 << 30


def check_versions() -> Iterator[Check]:
    """Look up the versions of `ti`, Python, SQLite and the packages it needs, without importing."""
    said = f"ti {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    yield Check("versions", "ok", said)
    found, missing = [], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        said = f"not installed: {', '.join(missing)}"
        yield Check("packages", "fail", said, "pip install --upgrade ticli", tuple(missing))
    else:
        yield Check("packages", "ok", ", ".join(found))


def check_model(name: str, origin: str) -> Check:
    """Whether the default model is on this machine."""
    try:
        source = locate(name, offline=True)
    except TiError as error:
        said = f"the model ({origin}) cannot be had offline: {error.message}"
        return Check("model", "fail", said, error.hint)
    return Check("model", "ok", f"{source.describe()}, {source.family}, here")


def check_device(device: str, dtype: str) -> Check:
    """Whether the default device works, and the free memory of a CUDA device. Imports torch."""
    try:
        hardware = pick_hardware(device, dtype)
        said = f"{hardware.describe()}: {hardware.why}"
        if hardware.device.type != "cuda":
            return Check("device", "ok", said)
        import torch

        free, _ = torch.cuda.mem_get_info()
    except TiError as error:
        return Check("device", "fail", error.message, error.hint)
    except (ImportError, OSError) as error:
        # A torch for another CUDA, or a missing system library, fails to load.
        said = f"torch cannot be loaded: {error}"
        return Check("device", "fail", said, "pip install --force-reinstall torch")
    said = f"{said}, {free / 1e9:,.1f} GB of memory free"
    if free < LITTLE_MEMORY:
        return Check("device", "warn", said, "close other programs that use it")
    return Check("device", "ok", said)
