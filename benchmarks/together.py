"""Time words that learn side by side against the same words one by one.

    python benchmarks/together.py [--words 1 2 4 8] [--steps 10] [--batch 4] [--model MODEL]
                                  [--device auto] [--whole]

Steps of all the words together and steps of one after the other take turns in one process, so
that what else the machine does falls on both; the medians are told, and how many times more steps
of words an hour makes. With --whole whole commands are timed too, from start to exit: one `ti
invert` with all the words, and one for each word. On CUDA peak memory is told beside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "mug"
# More than are ever taken, so that no word ends while it is timed.
MANY_STEPS = 10_000
# A GPU's step is recorded at its second batch; what comes before is not timed.
WARM_UP = 3


def learners(model: Any, options: argparse.Namespace, count: int, held: ExitStack) -> list[Any]:
    """So many words on the example photos, each of another seed, ready to take steps."""
    from ticli.inversion.plan import Request, make_plan
    from ticli.inversion.run_folder import open_run
    from ticli.inversion.training import begin_training
    from ticli.library.library import Library
    from ticli.paths import places
    from ticli.recipe import load_recipe

    recipe = load_recipe("default").with_flags(
        steps=MANY_STEPS, batch=options.batch, size=options.size, init="mug", stop="never"
    )
    found = []
    for seed in range(count):
        request = Request(
            (str(EXAMPLES),), f"word-{seed}", recipe, options.model, seed, False, True
        )
        plan = make_plan(request, Library.open())
        run = held.enter_context(open_run(places().runs, plan.token.name, plan.identity()))
        found.append(begin_training(plan, run, model, None).next_learner())
    return found


def step(model: Any, group: list[Any]) -> None:
    """One step of every word of a group, in one batch."""
    from ticli.inversion.recorded_steps import replayer_for
    from ticli.inversion.step import gradients, take_step

    began = time.monotonic()
    for learner, loss in zip(group, gradients(model, group, replayer_for), strict=True):
        take_step(learner, loss, began)


def timed(model: Any, groups: list[list[Any]]) -> float:
    """Seconds that one step of every group takes."""
    import torch

    began = time.perf_counter()
    for group in groups:
        step(model, group)
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter() - began


def compare(model: Any, group: list[Any], steps: int) -> tuple[float, float, float]:
    """Median seconds of a step together and one by one, and peak GiB together (0 on no card)."""
    import torch

    on_card = model.device.type == "cuda"
    rounds: dict[str, list[float]] = {"together": [], "alone": []}
    for _ in range(WARM_UP):
        timed(model, [group])
        timed(model, [[learner] for learner in group])
    peak = 0.0
    for _ in range(steps):
        if on_card:
            torch.cuda.reset_peak_memory_stats(model.device)
        rounds["together"].append(timed(model, [group]))
        if on_card:
            peak = max(peak, torch.cuda.max_memory_allocated(model.device) / (1 << 30))
        rounds["alone"].append(timed(model, [[learner] for learner in group]))
    return statistics.median(rounds["together"]), statistics.median(rounds["alone"]), peak


def command(options: argparse.Namespace, tokens: list[str]) -> list[str]:
    """The `ti invert` that learns these words together, to their last step, as -m takes it."""
    words = [part for token in tokens for part in ("--token", f"{token}={EXAMPLES}")]
    return [
        "-m", "ticli", "invert", *words, "--steps", str(options.steps), "--stop", "never",
        "--batch", str(options.batch), "--init", "mug", "-m", options.model,
        "--device", options.device, "--dtype", options.dtype, "--together", str(len(tokens)), "-q",
    ]  # fmt: skip


def compare_whole(options: argparse.Namespace, count: int, alone: int) -> tuple[float, list[float]]:
    """Wall seconds of one command for `count` words, and of each of `alone` commands for one.

    All in one library and from start to exit; those of one word come first, so that what the first
    command of all has to find out is no advantage of theirs. Raises Failed.
    """
    from gpu_peak import run

    with tempfile.TemporaryDirectory(prefix="ti-together-") as home:
        there = {"TI_HOME": home}
        single = [
            run(command(options, [f"alone-{number}"]), environment=there).seconds
            for number in range(alone)
        ]
        tokens = [f"word-{number}" for number in range(count)]
        return run(command(options, tokens), environment=there).seconds, single


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--whole", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    from ticli.models.hardware import pick_hardware
    from ticli.models.locate import locate
    from ticli.models.model import load_model

    source = locate(options.model)
    hardware = pick_hardware(options.device, options.dtype, half_on_cpu=source.has_small_maps)
    print(f"{source.describe()} on {hardware.describe()}, batch {options.batch}")
    print("\n| words | ms a step, together | ms, one by one | times as many | peak GiB |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="ti-together-") as home, ExitStack() as held:
        before = os.environ.get("TI_HOME")
        os.environ["TI_HOME"] = home
        model = load_model(source, hardware)
        group = learners(model, options, max(options.words), held)
        for count in options.words:
            both, alone, peak = compare(model, group[:count], options.steps)
            memory = f"{peak:.1f}" if peak else "-"
            times = alone / both
            print(f"| {count} | {1e3 * both:.0f} | {1e3 * alone:.0f} | {times:.2f} | {memory} |")
        os.environ.pop("TI_HOME") if before is None else os.environ.update(TI_HOME=before)
    if options.whole:
        count = max(options.words)
        together, single = compare_whole(options, count, count)
        alone = sum(single)
        print(
            f"\nWhole commands, {count} words of {options.steps} steps: {together:.1f} s together, "
            f"{alone:.1f} s one by one, {alone / together:.2f} times as many words an hour."
        )


if __name__ == "__main__":
    main()
