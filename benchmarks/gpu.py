"""Measure training steps on a GPU: a plain loop, ours, diffusers' example script.

    python benchmarks/gpu.py --out FOLDER [--script textual_inversion.py] [--batches 1 2 4 …]
        [--words 1 2 4 8 16] [--steps 30] [--models FOLDER] [--no-xl] [--no-command]
    python benchmarks/gpu.py --out FOLDER --tiny --device cpu

Models of Stable Diffusion 1.5's and XL's shapes are written at random into --models once. Every
step is timed from one wait for the device to the next, medians are told. The floor is the
arithmetic, counted while a step is taken, at the rate of an 8192³ product in the same precision.
The script is not part of this project: its path is given, and its step is the difference of two
runs by the difference of their steps. --tiny tries everything in small. The report, its plots and
the numbers as JSON are written into --out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from gpu_models import write_model
from gpu_report import BARS, environment, plot, profile, table
from gpu_steps import (
    EXAMPLES,
    WARM_UP,
    NeverRecorded,
    Timing,
    arithmetic,
    learner_of,
    matrix_rate,
    our_step,
    plain_step,
    script_command,
    script_step,
    timed,
)

from ticli.inversion.compiling import obstacle
from ticli.inversion.graph import TIMED, Replayer, replayer_for
from ticli.models.hardware import pick_hardware
from ticli.models.model import Model, load_model
from ticli.models.savings import NONE
from ticli.models.source import locate

PLAIN, RECORDED, COMPILED = "plain loop", "ours, recorded", "ours, recorded and compiled"
EAGER, DEFAULT = "ours, eager", "ours, recorded, by the default recipe"
WORDS = "ours, several words"
SCRIPT_BATCHES, SCRIPT_STEPS = (1, 4), (20, 60)
WORDS_BATCH = 4


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--script", type=Path)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--words", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--command-steps", type=int, default=400)
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache" / "ti-benchmark")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--no-xl", dest="xl", action="store_false")
    parser.add_argument("--no-command", dest="command", action="store_false")
    return parser.parse_args(arguments)


def loaded(options: argparse.Namespace, name: str) -> tuple[Path, Model]:
    """A model of that shape, written if it is not there, and loaded."""
    hardware = pick_hardware(options.device, options.dtype)
    name = {"sd15": "tiny", "sdxl": "tiny-xl"}[name] if options.tiny else name
    folder = write_model(options.models / name, name, hardware.device.type, hardware.dtype)
    return folder, load_model(locate(str(folder)), hardware)


def by_batch(model: Model, options: argparse.Namespace, floor: float) -> Iterator[Timing]:
    """The plain loop, ours without recording, and ours, at every batch."""
    # What is not recorded comes first: recording turns the weights to channels last.
    ways: dict[str, Callable[[], Any]] = {PLAIN: NeverRecorded, EAGER: NeverRecorded}
    if model.device.type == "cuda":
        ways |= {RECORDED: lambda: uncompiled(model), DEFAULT: lambda: uncompiled(model)}
        ways |= {} if obstacle() else {COMPILED: lambda: replayer_for(model)}
    for what, replayer in ways.items():
        for batch in options.batches:
            if what in (COMPILED, DEFAULT) and batch not in BARS:
                continue
            model.replayer = replayer()
            if what == PLAIN:
                step = plain_step(model, batch)
            else:
                preset = "default" if what == DEFAULT else ""
                step = our_step(model, [learner_of(model, batch, preset=preset)])
            found = measured(model, what, batch, step, options)
            if found is None:
                break
            yield Timing(what, batch, 1, found[0], floor * batch, *found[1:])


def by_words(model: Model, options: argparse.Namespace, floor: float) -> Iterator[Timing]:
    """Several words in one batch, each with samples of its own."""
    for words in options.words:
        model.replayer = uncompiled(model)
        learners = [learner_of(model, WORDS_BATCH, number) for number in range(words)]
        step, samples = our_step(model, learners), WORDS_BATCH * words
        found = measured(model, WORDS, samples, step, options)
        if found is None:
            return
        yield Timing(WORDS, WORDS_BATCH, words, found[0], floor * samples, *found[1:])


def uncompiled(model: Model) -> Replayer | None:
    """What replays a model's steps and never compiles its denoiser, however many are left."""
    replayer = replayer_for(model)
    return replayer and Replayer(replayer.record)


def measured(
    model: Model, what: str, samples: int, step: Callable[[], None], options: argparse.Namespace
) -> tuple[float, float, float] | None:
    """Seconds and memory of a step; None, said aloud, where it is not what it is called."""
    try:
        # Compiling waits for steps to be timed, and those that are left here repay anything.
        found = timed(model, step, options.steps, TIMED + 3 if what == COMPILED else WARM_UP)
    except torch.OutOfMemoryError as error:
        why = str(error).splitlines()[0]
    else:
        why = "; ".join(model.given_up) or (model.replayer.broken if model.replayer else "")
    if not why:
        return found
    print(f"{what}, {samples} samples: left out, {why}", file=sys.stderr)
    # Fewer pictures at a time was all that it came to, or the next measurement says so.
    model.savings, model.replayer = NONE, None
    model.given_up.clear()
    return None


def by_script(options: argparse.Namespace, folder: Path, floor: float) -> Iterator[Timing]:
    """diffusers' script, whose memory is its own affair."""
    size = 64 if options.tiny else 512
    for batch in SCRIPT_BATCHES:
        seconds = script_step(options.script, folder, size, batch, SCRIPT_STEPS)
        yield Timing("diffusers' script", batch, 1, seconds, floor * batch, 0.0, 0.0)


def whole_command(options: argparse.Namespace, folder: Path) -> list[str]:
    """Seconds from Enter to prompt: on a machine that never ran `ti`, and again."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="ti-gpu-") as home:
        kept = {"TI_HOME": home, "TORCHINDUCTOR_CACHE_DIR": f"{home}/inductor"}
        kept |= {"TRITON_CACHE_DIR": f"{home}/triton", "CUDA_CACHE_PATH": f"{home}/cuda"}
        for number, what in enumerate(("no kernel kept", "kernels kept")):
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "ticli", "invert", str(EXAMPLES), "-t", f"word-{number}",
                 "--init", "mug", "-m", str(folder), "--steps", str(options.command_steps),
                 "--batch", "4", "--stop", "never", "--device", options.device, "-q"],
                env=os.environ | kept, stdout=subprocess.DEVNULL, check=True,
            )  # fmt: skip
            seconds = time.perf_counter() - began
            lines.append(f"- {what}: {seconds:.1f} s for {options.command_steps} steps at batch 4")
    return lines


def report(options: argparse.Namespace) -> tuple[list[str], list[Timing]]:
    """Measure everything, telling each result as it comes."""
    folder, model = loaded(options, "sd15")
    side = 256 if options.tiny else 8192
    rate = matrix_rate(model.device, side, model.hardware.dtype)
    work = arithmetic(model)
    facts = [f"- {name}: {value}" for name, value in environment(model.device)]
    facts += [
        f"- {side}³ product in {str(model.hardware.dtype).removeprefix('torch.')}: "
        f"{rate / 1e12:.3g} TFLOP/s",
        f"- one sample's step: {work / 1e12:.3g} TFLOP, {1e3 * work / rate:.3g} ms at that rate",
    ]
    timings = list(told(by_batch(model, options, work / rate)))
    timings += told(by_words(model, options, work / rate))
    model.replayer = uncompiled(model)
    step = our_step(model, [learner_of(model, WORDS_BATCH)])
    for _ in range(WARM_UP):
        step()
    kernels = profile(model, step)
    del model, step
    if options.script:
        digest = hashlib.sha256(options.script.read_bytes()).hexdigest()[:16]
        called = " ".join(script_command(Path("SCRIPT"), Path("MODEL"), 512, 4, 60)[1:])
        facts.append(f"- script: sha256 {digest}…, `{called}`")
        timings += told(by_script(options, folder, work / rate))
    whole = whole_command(options, folder) if options.command else ["- left out"]
    if options.xl:
        timings += told(xl(options, rate))
    lines = [
        "# Training steps on a GPU",
        "",
        *facts,
        "",
        *table(timings, bars=not options.tiny),
        "",
    ]
    lines += ["## Whole command", "", *whole, "", f"## Profile, batch {WORDS_BATCH}", "", *kernels]
    return [*lines, "", "![by batch](by-batch.png)", "", "![by words](by-words.png)"], timings


def xl(options: argparse.Namespace, rate: float) -> Iterator[Timing]:
    """Stable Diffusion XL at its own size, one sample."""
    _, model = loaded(options, "sdxl")
    floor = arithmetic(model) / rate
    model.replayer = uncompiled(model)
    found = measured(model, "XL", 1, our_step(model, [learner_of(model, 1)]), options)
    if found is None:
        return
    yield Timing("ours, XL at 1024 pixels", 1, 1, found[0], floor, *found[1:])


@contextmanager
def library_in(home: str) -> Iterator[None]:
    """Have what `ti` remembers go into a folder of its own for a while."""
    before = os.environ.get("TI_HOME")
    os.environ["TI_HOME"] = home
    try:
        yield
    finally:
        os.environ.pop("TI_HOME") if before is None else os.environ.update(TI_HOME=before)


def told(timings: Iterator[Timing]) -> Iterator[Timing]:
    for row in timings:
        where = f"batch {row.batch}, {row.words} words"
        print(f"{row.what}, {where}: {1e3 * row.seconds:.1f} ms", file=sys.stderr, flush=True)
        yield row


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    lacking = obstacle()
    if options.device == "cuda" and lacking:
        print(f"{COMPILED}: left out, {lacking}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="ti-gpu-") as home, library_in(home):
        lines, timings = report(options)
    series: dict[str, Any] = {}
    for row in timings:
        if row.what != WORDS and "XL" not in row.what:
            series.setdefault(row.what, []).append((row.batch, 1e3 * row.seconds))
    plot(options.out / "by-batch.png", "a step by its batch", "samples a batch", series)
    words = [(t.words, 1e3 * t.seconds) for t in timings if t.what == WORDS]
    plot(options.out / "by-words.png", "a step by its words", "words", {"batch 4 each": words})
    raw = json.dumps([asdict(row) for row in timings], indent=1)
    (options.out / "numbers.json").write_text(raw + "\n")
    (options.out / "report.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
