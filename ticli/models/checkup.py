"""What `ti doctor` says of versions, device and model."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from ticli import __version__
from ticli.checkup import Check
from ticli.errors import TiError
from ticli.models.hardware import pick_hardware
from ticli.models.source import locate

PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "pillow", "sqlite-utils")
LITTLE_MEMORY = 1 << 30


def check_versions() -> Iterator[Check]:
    """Look up `ti`, Python, SQLite and the packages that training and drawing need; no import."""
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
    """Whether the model that commands use by default is on this machine, network or not."""
    try:
        source = locate(name, offline=True)
    except TiError as error:
        said = f"the model ({origin}) cannot be had offline: {error.message}"
        return Check("model", "fail", said, error.hint)
    return Check("model", "ok", f"{source.describe()}, {source.family}, here")


def check_device(device: str, dtype: str) -> Check:
    """Whether the device that commands use by default works. Imports torch."""
    try:
        hardware = pick_hardware(device, dtype)
        said = f"{hardware.describe()}: {hardware.why}"
        free = _free_memory(hardware.device.type)
    except TiError as error:
        return Check("device", "fail", error.message, error.hint)
    except (ImportError, OSError) as error:
        # A torch of another CUDA or a missing library of the system fails while it is loaded.
        said = f"torch cannot be loaded: {error}"
        return Check("device", "fail", said, "pip install --force-reinstall torch")
    if free is None:
        return Check("device", "ok", said)
    said = f"{said}, {free / 1e9:,.1f} GB of memory free"
    if free < LITTLE_MEMORY:
        return Check("device", "warn", said, "close other programs that use it")
    return Check("device", "ok", said)


def _free_memory(kind: str) -> int | None:
    """Free bytes of a CUDA device; what other devices have free is not theirs to say."""
    import torch

    if kind != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info()
    return int(free)
