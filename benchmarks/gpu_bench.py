"""What the parts of the GPU benchmark work with: models, what was found, room on the device."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from gpu_models import write_model
from gpu_results import Results
from gpu_steps import Timing, arithmetic

from ticli.models.hardware import pick_hardware
from ticli.models.locate import locate
from ticli.models.model import Model, load_model


@dataclass(frozen=True)
class Bench:
    """What was asked for, and what was found so far."""

    options: argparse.Namespace
    results: Results

    def floor(self, name: str, model: Model | None = None) -> float:
        """Seconds that one sample's arithmetic takes a model at the measured rate."""
        work = self.results.work
        if name not in work:
            work[name] = arithmetic(model or loaded(self.options, name)[1])
        return work[name] / self.results.rate


def folder_of(options: argparse.Namespace, name: str) -> Path:
    """A model of that shape, written if it is not there."""
    hardware = pick_hardware(options.device, options.dtype)
    name = {"sd15": "tiny", "sdxl": "tiny-xl"}[name] if options.tiny else name
    return write_model(options.models / name, name, hardware.device.type, hardware.dtype)


def loaded(options: argparse.Namespace, name: str) -> tuple[Path, Model]:
    """A model of that shape and its folder."""
    folder = folder_of(options, name)
    return folder, load_model(locate(str(folder)), pick_hardware(options.device, options.dtype))


def told(timings: Iterator[Timing]) -> Iterator[Timing]:
    """Say each result as it comes."""
    for row in timings:
        where = f"batch {row.batch}, {row.words} words"
        print(f"{row.what}, {where}: {1e3 * row.seconds:.1f} ms", file=sys.stderr, flush=True)
        yield row


def make_room() -> None:
    """Give back the device memory of what is no longer used."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@contextmanager
def library_in(home: str) -> Iterator[None]:
    """Have what `ti` remembers go into a folder of its own for a while."""
    before = os.environ.get("TI_HOME")
    os.environ["TI_HOME"] = home
    try:
        yield
    finally:
        os.environ.pop("TI_HOME") if before is None else os.environ.update(TI_HOME=before)
