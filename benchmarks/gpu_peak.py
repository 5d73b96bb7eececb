"""A Python program run in a process of its own, timed, with the most CUDA memory that it had.

    python benchmarks/gpu_peak.py NOTE GIB PROGRAM.py|-m MODULE [ARGUMENT …]

The process writes its peak into the file NOTE as JSON. Where GIB is not 0 it sees a card that has
so much left, and gets no more.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB = 1 << 30
TOLD = 2000


class Failed(Exception):
    """Something that could not be measured, in words."""


@dataclass(frozen=True)
class Ran:
    """A program's wall seconds from start to exit, and its peak in GiB; None without CUDA."""

    seconds: float
    allocated: float | None
    reserved: float | None


def run(
    program: Sequence[str], within: float = 0.0, environment: Mapping[str, str] | None = None
) -> Ran:
    """Run `PROGRAM.py …` or `-m MODULE …` to its end, `within` so many GiB. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="ti-peak-") as folder:
        note = Path(folder) / "peak.json"
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, __file__, str(note), str(within), *program],
            capture_output=True, text=True, env=os.environ | dict(environment or {}),
        )  # fmt: skip
        seconds = time.perf_counter() - began
        if done.returncode:
            said = done.stderr.strip()[-TOLD:]
            what = " ".join(Path(part).name for part in program[:3])
            raise Failed(f"{what} … ended with {done.returncode}: {said}")
        return Ran(seconds, **json.loads(note.read_text()))


def pretend(gib: float) -> None:
    """Make this process's card one that has so much left for it."""
    import torch

    if not torch.cuda.is_available():
        return
    limit = int(gib * GIB)
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total))

    def left(device: Any = None) -> tuple[int, int]:
        return max(0, limit - torch.cuda.memory_reserved(device)), limit

    torch.cuda.mem_get_info = left


def peak() -> dict[str, float | None]:
    """The most GiB that this process had, allocated and reserved."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {"allocated": None, "reserved": None}
    return {
        "allocated": torch.cuda.max_memory_allocated() / GIB,
        "reserved": torch.cuda.max_memory_reserved() / GIB,
    }


def main() -> None:
    note, gib, program, *arguments = sys.argv[1:]
    if float(gib):
        pretend(float(gib))
    # Not this folder's modules but the program's own come first.
    sys.path[0] = str(Path.cwd()) if program == "-m" else str(Path(program).resolve().parent)
    try:
        if program == "-m":
            sys.argv = arguments
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [program, *arguments]
            runpy.run_path(program, run_name="__main__")
    finally:
        Path(note).write_text(json.dumps(peak()))


if __name__ == "__main__":
    main()
