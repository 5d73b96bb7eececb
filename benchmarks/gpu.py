"""Measure `ti` on a GPU against its bars: steps, commands, memory, and diffusers' example scripts.

    python benchmarks/gpu.py --out FOLDER [--parts steps command …] [--script textual_inversion.py]
        [--script-xl textual_inversion_sdxl.py] [--models FOLDER] [--batches 1 2 4 …]
    python benchmarks/gpu.py --out FOLDER --tiny --device cpu

Models of Stable Diffusion 1.5's and XL's shapes are written at random into --models once. Every
step is timed from one wait for the device to the next, medians are told. The floor is the
arithmetic, counted while a step is taken, at the rate of an 8192³ product in the same precision.
The scripts are not part of this project: their paths are given (gpu_script.py names the commit),
they import accelerate and torchvision, and a step of theirs is the difference of two runs by the
difference of their steps, after a run that is not timed. All parts are measured unless some are
named; calls with the same --out add up to one report, with the numbers as JSON, plots, and a line
for every bar; --parts without a name only writes it anew. --tiny tries everything in small.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import gpu_script
import torch
from gpu_bars import MANY
from gpu_bench import Bench, library_in, make_room
from gpu_parts import PARTS
from gpu_peak import Failed
from gpu_report import environment, plot, plotted, report
from gpu_results import Results, results_in
from gpu_steps import matrix_rate

from ticli.errors import TiError
from ticli.models.hardware import pick_hardware

TITLES = {"by-batch": ("a step by its batch", "samples a batch"),
          "by-words": ("a step by its words", "words")}  # fmt: skip


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--script", type=Path)
    parser.add_argument("--script-xl", type=Path)
    parser.add_argument("--script-steps", type=int, nargs=2, default=[20, 100])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--words", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--many", type=int, default=MANY)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--command-steps", type=int, default=400)
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache" / "ti-benchmark")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args(arguments)
    for path in filter(None, (options.script, options.script_xl)):
        if lacking := gpu_script.obstacle_to(path):
            parser.error(lacking)
    return options


def begun(options: argparse.Namespace) -> Results:
    """What earlier calls found, on the same device, or only the rate of this one."""
    hardware = pick_hardware(options.device, options.dtype)
    side = 256 if options.tiny else 8192
    taken = environment(hardware.device) | {
        "precision": str(hardware.dtype).removeprefix("torch."),
        "shapes": "tiny" if options.tiny else "published",
        "product": f"{side}³",
    }
    results = results_in(options.out, taken)
    if not results.rate:
        results.rate = matrix_rate(hardware.device, side, hardware.dtype)
    return results


def measure(options: argparse.Namespace, results: Results) -> list[str]:
    """Measure the parts that were asked for, keeping each as it comes; those that failed."""
    failed = []
    for part in options.parts:
        if part in gpu_script.PINNED and getattr(options, part.replace("-", "_")) is None:
            print(f"{part}: left out, no --{part} is given", file=sys.stderr)
            continue
        print(f"{part} …", file=sys.stderr, flush=True)
        results.failed.pop(part, None)
        began = time.monotonic()
        try:
            found = PARTS[part](Bench(options, results))
            results.parts[part] = replace(found, seconds=time.monotonic() - began)
        except (Failed, TiError, torch.OutOfMemoryError) as error:
            # What else was asked for is measured all the same: time on a device is dear.
            failed.append(part)
            results.failed[part] = str(error)
            print(f"{part} failed: {error}", file=sys.stderr)
        results.save(options.out)
        make_room()
    return failed


def write_report(folder: Path, results: Results) -> str:
    """Write report and plots into the folder; the report."""
    for name, series in plotted(results.together().timings).items():
        plot(folder / f"{name}.png", *TITLES[name], series)
    text = "\n".join(report(results)) + "\n"
    (folder / "report.md").write_text(text)
    return text


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ti-gpu-") as home, library_in(home):
        results = begun(options)
        failed = measure(options, results)
    print(write_report(options.out, results), end="")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
