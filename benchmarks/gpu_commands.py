"""Whole commands measured from Enter to prompt: first and later ones, many words, low memory."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import together
from gpu_bars import CARDS
from gpu_peak import Failed, run
from gpu_results import Found
from gpu_steps import EXAMPLES

BATCH = 4
# Commands for one word of which the median stands for all.
ALONE = 3
# Enough for encoding, steps and an evaluation, whose memory is not the steps'.
LOW_STEPS, LOW_EVALUATE = 10, 5


def invert(options: argparse.Namespace, folder: Path, name: str, *knobs: str) -> list[str]:
    """The `ti invert` of the example photos, as -m takes it."""
    return [
        "-m", "ticli", "invert", str(EXAMPLES), "-t", name, "--init", "mug", "-m", str(folder),
        "--batch", str(BATCH), "--stop", "never", "--device", options.device,
        "--dtype", options.dtype, *knobs, "-q",
    ]  # fmt: skip


def whole_command(options: argparse.Namespace, folder: Path) -> Found:
    """Seconds from Enter to prompt on a machine that never ran `ti`, and again."""
    found = Found()
    with tempfile.TemporaryDirectory(prefix="ti-gpu-") as home:
        kept = {"TI_HOME": home, "TORCHINDUCTOR_CACHE_DIR": f"{home}/inductor"}
        kept |= {"TRITON_CACHE_DIR": f"{home}/triton", "CUDA_CACHE_PATH": f"{home}/cuda"}
        steps = str(options.command_steps)
        for key, what in (("first", "no kernel kept"), ("warm", "kernels kept")):
            ran = run(invert(options, folder, f"word-{key}", "--steps", steps), environment=kept)
            found.figures[f"command/{key}"] = ran.seconds
            found.lines.append(
                f"- {what}: {ran.seconds:.1f} s for {steps} steps at batch {BATCH}, "
                f"{told(ran.allocated)} allocated"
            )
    return found


def many_commands(options: argparse.Namespace, folder: Path) -> Found:
    """Words an hour of one command for many, against a command for each."""
    asked = argparse.Namespace(
        steps=options.command_steps, batch=BATCH, model=str(folder), device=options.device,
        dtype=options.dtype,
    )  # fmt: skip
    count = options.many
    both, single = together.compare_whole(asked, count, min(ALONE, count))
    alone = count * statistics.median(single)
    line = (
        f"- {count} words of {asked.steps} steps at batch {BATCH}: {both:.1f} s by one command; "
        f"{alone:.1f} s by {count} commands ({count} times the median of {len(single)}: "
        f"{', '.join(f'{seconds:.1f}' for seconds in single)} s); "
        f"{alone / both:.2f} times as many words an hour"
    )
    return Found(figures={f"together/commands/{count}": alone / both}, lines=[line])


def low_memory(options: argparse.Namespace, name: str, folder: Path) -> Found:
    """The peak of `ti invert --low-memory` on a card that has no more than a small one.

    A command that fails there has missed the bar, and says why.
    """
    within = CARDS[name]
    knobs = ["--low-memory", "--steps", str(LOW_STEPS), "--evaluate-every", str(LOW_EVALUATE)]
    with tempfile.TemporaryDirectory(prefix="ti-gpu-") as home:
        try:
            ran = run(invert(options, folder, "word", *knobs), within, {"TI_HOME": home})
        except Failed as error:
            return Found(lines=[f"- {name}, within {within} GiB: {error}"], missed=[f"low/{name}"])
    figures = {} if ran.allocated is None else {f"low/{name}": ran.allocated}
    line = (
        f"- {name}, within {within} GiB: {told(ran.allocated)} allocated, {told(ran.reserved)} "
        f"reserved; {LOW_STEPS} steps at batch {BATCH} took {ran.seconds:.1f} s, all told"
    )
    return Found(figures=figures, lines=[line])


def told(gib: float | None) -> str:
    """An amount of memory in words."""
    return "n/a GiB" if gib is None else f"{gib:.2f} GiB"
