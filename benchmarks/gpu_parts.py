"""The parts of the GPU benchmark, each of which can be measured in a call of its own."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gpu_commands
import gpu_script
import together
import torch
from gpu_bars import (
    COMPILED,
    DEFAULT,
    EAGER,
    OURS_XL,
    PLAIN,
    RECORDED,
    SCRIPT,
    SCRIPT_XL,
    STEPS,
    WORDS,
)
from gpu_bench import Bench, folder_of, library_in, loaded, make_room, told
from gpu_report import profile
from gpu_results import Found
from gpu_steps import (
    EXAMPLES,
    WARM_UP,
    NeverRecorded,
    Timing,
    learner_of,
    our_step,
    plain_step,
    timed,
)

from ticli.inversion.recorded_steps import TIMED, Replayer, obstacle, replayer_for
from ticli.models.hardware import pick_hardware
from ticli.models.memory_ladder import NONE
from ticli.models.model import Model

SCRIPT_BATCHES = {"script": (1, 4), "script-xl": (1,)}
WORDS_BATCH = 4
# Compiling waits for steps to be timed, and those that are left here repay anything.
COMPILING = TIMED + 3


def steps(bench: Bench) -> Found:
    """The plain loop, ours without recording, and ours, at every batch; the kernels of a step."""
    _, model = loaded(bench.options, "sd15")
    # What is not recorded comes first: recording turns the weights to channels last.
    ways: dict[str, Callable[[], Any]] = {PLAIN: NeverRecorded, EAGER: NeverRecorded}
    if model.device.type == "cuda":
        ways |= {RECORDED: lambda: uncompiled(model), DEFAULT: lambda: uncompiled(model)}
    rows = list(told(by_batch(bench, model, ways)))
    return Found(rows, lines=kernels(model, uncompiled(model), WARM_UP))


def compiled(bench: Bench) -> Found:
    """Ours as a run of very many steps comes to have it, where there is a compiler."""
    device = pick_hardware(bench.options.device, bench.options.dtype).device
    lacking = obstacle() if device.type == "cuda" else "this is no CUDA device"
    if lacking:
        return Found(lines=[f"- left out: {lacking}"])
    _, model = loaded(bench.options, "sd15")
    rows = list(told(by_batch(bench, model, {COMPILED: lambda: replayer_for(model)})))
    return Found(rows, lines=kernels(model, replayer_for(model), COMPILING) if rows else [])


def by_batch(bench: Bench, model: Model, ways: dict[str, Callable[[], Any]]) -> Iterator[Timing]:
    """Every way at every batch, until one is too large for the device."""
    floor = bench.floor("sd15", model)
    for what, replayer in ways.items():
        for batch in bench.options.batches:
            if what in (COMPILED, DEFAULT) and batch not in STEPS:
                continue
            model.replayer = replayer()
            if what == PLAIN:
                step = plain_step(model, batch)
            else:
                preset = "default" if what == DEFAULT else ""
                step = our_step(model, [learner_of(model, batch, preset=preset)])
            found = measured(model, what, batch, step, bench.options)
            if found is None:
                break
            yield Timing(what, batch, 1, found[0], floor * batch, *found[1:])


def kernels(model: Model, replayer: Any, warm_up: int) -> list[str]:
    """The profile of a step of ours."""
    model.replayer = replayer
    step = our_step(model, [learner_of(model, WORDS_BATCH)])
    for _ in range(warm_up):
        step()
    return profile(model, step)


def words(bench: Bench) -> Found:
    """Several words in one batch, each with samples of its own."""
    _, model = loaded(bench.options, "sd15")
    return Found(list(told(by_words(model, bench.options, bench.floor("sd15", model)))))


def by_words(model: Model, options: argparse.Namespace, floor: float) -> Iterator[Timing]:
    for count in options.words:
        model.replayer = uncompiled(model)
        learners = [learner_of(model, WORDS_BATCH, number) for number in range(count)]
        step, samples = our_step(model, learners), WORDS_BATCH * count
        found = measured(model, WORDS, samples, step, options)
        if found is None:
            return
        yield Timing(WORDS, WORDS_BATCH, count, found[0], floor * samples, *found[1:])


def side_by_side(bench: Bench) -> Found:
    """Many words by the default recipe: their steps together and one by one, and whole commands."""
    options = bench.options
    folder, model = loaded(options, "sd15")
    model.replayer = uncompiled(model)
    asked = argparse.Namespace(batch=WORDS_BATCH, size=0, model=str(folder))
    with (
        tempfile.TemporaryDirectory(prefix="ti-gpu-") as home,
        library_in(home),
        ExitStack() as held,
    ):
        group = together.learners(model, asked, options.many, held)
        both, alone, peak = together.compare(model, group, options.steps)
    found = Found(
        figures={f"together/step/{options.many}": alone / both},
        lines=[
            f"- a step of {options.many} words at batch {WORDS_BATCH} each: {1e3 * both:.1f} ms "
            f"together, {1e3 * alone:.1f} ms one by one, {alone / both:.2f} times as many; "
            f"{gpu_commands.told(peak or None)} allocated"
        ],
    )
    # The commands need the card for themselves.
    del model, group
    make_room()
    found.add(gpu_commands.many_commands(options, folder))
    return found


def command(bench: Bench) -> Found:
    """`ti invert` from Enter to prompt."""
    return gpu_commands.whole_command(bench.options, folder_of(bench.options, "sd15"))


def low_memory(bench: Bench) -> Found:
    """`ti invert --low-memory` on small cards."""
    found = Found()
    for name in ("sd15", "sdxl"):
        folder = folder_of(bench.options, name)
        found.add(gpu_commands.low_memory(bench.options, name, folder))
    return found


def xl(bench: Bench) -> Found:
    """Stable Diffusion XL at its own size, one sample."""
    _, model = loaded(bench.options, "sdxl")
    floor = bench.floor("sdxl", model)
    model.replayer = uncompiled(model)
    step = our_step(model, [learner_of(model, 1)])
    found = measured(model, OURS_XL, 1, step, bench.options)
    rows = [] if found is None else [Timing(OURS_XL, 1, 1, found[0], floor, *found[1:])]
    return Found(list(told(iter(rows))))


def script(bench: Bench) -> Found:
    """diffusers' script on Stable Diffusion 1.5."""
    return by_script(bench, "script", SCRIPT)


def script_xl(bench: Bench) -> Found:
    """diffusers' script for XL."""
    return by_script(bench, "script-xl", SCRIPT_XL)


def by_script(bench: Bench, part: str, what: str) -> Found:
    """A step of one of diffusers' scripts, and which file it was and how it was called."""
    options, pinned = bench.options, gpu_script.PINNED[part]
    path: Path = getattr(options, part.replace("-", "_"))
    folder, size = folder_of(options, pinned.model), 64 if options.tiny else pinned.size
    floor = bench.floor(pinned.model)
    make_room()

    def rows() -> Iterator[Timing]:
        # What the first run of all reads from the disk is not the steps'.
        gpu_script.taken(path, folder, size, 1, 1)
        for batch in SCRIPT_BATCHES[part]:
            ran = gpu_script.step(path, folder, size, batch, options.script_steps)
            yield Timing(what, batch, 1, ran.seconds, floor * batch, ran.allocated, ran.reserved)

    identity = gpu_script.identity(path, pinned)
    called = gpu_script.command(Path(path.name), Path("MODEL"), size, 1, max(options.script_steps))
    flags = " ".join(called).replace(str(EXAMPLES), "examples/mug")
    return Found(list(told(rows())), lines=[f"- {identity}", f"- `{flags}`"])


# In the order in which they are measured: what the bars ask for most comes first.
PARTS: dict[str, Callable[[Bench], Found]] = {
    "steps": steps,
    "command": command,
    "script": script,
    "together": side_by_side,
    "xl": xl,
    "script-xl": script_xl,
    "low-memory": low_memory,
    "compiled": compiled,
    "words": words,
}


def uncompiled(model: Model) -> Replayer | None:
    """What replays a model's steps and never compiles its denoiser, however many are left."""
    replayer = replayer_for(model)
    return replayer and Replayer(replayer.record)


def measured(
    model: Model, what: str, samples: int, step: Callable[[], None], options: argparse.Namespace
) -> tuple[float, float | None, float | None] | None:
    """Seconds and memory of a step; None, said aloud, where it is not what it is called."""
    try:
        found = timed(model, step, options.steps, COMPILING if what == COMPILED else WARM_UP)
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
