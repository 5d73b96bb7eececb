"""The GPU benchmark's results as Markdown and as a picture."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from gpu_bars import DEVICES, OURS_XL, SCRIPT_XL, WORDS, figures, of_row, verdicts
from gpu_results import Results
from gpu_steps import Timing
from PIL import Image, ImageDraw

WIDTH, HEIGHT, EDGE = 720, 420, 56
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e")


def environment(device: torch.device) -> dict[str, str]:
    """Machine, driver and versions."""
    import diffusers
    import transformers

    found = [("torch", torch.__version__), ("diffusers", diffusers.__version__)]
    found += [("transformers", transformers.__version__), ("python", platform.python_version())]
    if device.type != "cuda":
        return {"device": platform.processor() or platform.machine(), **dict(found)}
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]
    found += [("CUDA", str(torch.version.cuda)), ("cuDNN", str(torch.backends.cudnn.version()))]
    found += [("triton", _version("triton")), ("driver", driver)]
    return {"device": torch.cuda.get_device_name(device), **dict(found)}


def report(results: Results) -> list[str]:
    """All that was found as Markdown; a line for every bar comes last."""
    found = results.together()
    small = results.taken["shapes"] == "tiny"
    lines = ["# Training steps on a GPU", ""]
    lines += [f"- {name}: {value}" for name, value in results.taken.items()]
    lines.append(f"- the product's rate: {results.rate / 1e12:.3g} TFLOP/s")
    lines += [
        f"- one sample's step, {name}: {work / 1e12:.3g} TFLOP, "
        f"{1e3 * work / results.rate:.3g} ms at that rate"
        for name, work in results.work.items()
    ]
    if found.timings:
        lines += ["", *table(found.timings, bars=not small)]
    for name, part in results.parts.items():
        lines += ["", f"## {name}, measured in {part.seconds:.0f} s"]
        lines += ["", *part.lines] if part.lines else []
    if results.failed:
        lines += ["", "## What failed", ""]
        lines += [f"- {name}: {why}" for name, why in results.failed.items()]
    for name in plotted(found.timings):
        lines += ["", f"![{name}]({name}.png)"]
    device = results.taken["device"]
    named = any(name in device for name in DEVICES)
    lines += ["", "## Bars", "", f"For an {' or '.join(DEVICES)}" + (
        "." if named else f", which {device} is not."
    ), ""]  # fmt: skip
    measured = figures(found.timings, found.figures)
    return [*lines, *verdicts(measured, found.missed, small)]


def plotted(timings: Sequence[Timing]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """The lines of every plot, by its name."""
    plots: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in timings:
        if row.what == WORDS:
            point, name, line = (row.words, 1e3 * row.seconds), "by-words", "batch 4 each"
        elif row.what in (OURS_XL, SCRIPT_XL):
            continue
        else:
            point, name, line = (row.batch, 1e3 * row.seconds), "by-batch", row.what
        plots.setdefault(name, {}).setdefault(line, []).append(point)
    return plots


def table(timings: Sequence[Timing], bars: bool) -> list[str]:
    """One line a measurement, with its bar where there is one and `bars` are asked for."""
    lines = [
        "| what | batch | words | ms a step | floor | times the floor | GiB allocated | reserved |"
        " bar |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in timings:
        milliseconds, floor = 1e3 * row.seconds, 1e3 * row.floor
        memory = " | ".join(
            "n/a" if gib is None else f"{gib:.1f}" for gib in (row.allocated, row.reserved)
        )
        lines.append(
            f"| {row.what} | {row.batch} | {row.words} | {milliseconds:.1f} | {floor:.2f} | "
            f"{row.seconds / row.floor:.1f} | {memory} | {of_row(row) if bars else ''} |"
        )
    return lines


def profile(model: Any, step: Any, steps: int = 5) -> list[str]:
    """The kernels that take longest, and the share of time in which none is at work."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    on_card = model.device.type == "cuda"
    activities = [ProfilerActivity.CUDA if on_card else ProfilerActivity.CPU]
    with profiled(activities=activities) as found:
        for _ in range(steps):
            step()
        if on_card:
            torch.cuda.synchronize(model.device)
    name = "self_device_time_total" if on_card else "self_cpu_time_total"
    rows = sorted(found.key_averages(), key=lambda row: -getattr(row, name))
    spent = sum(getattr(row, name) for row in rows)
    events = [event.time_range for event in found.events()]
    wall = max(e.end for e in events) - min(e.start for e in events)
    lines = ["| kernel | ms a step | share |", "|---|---|---|"]
    for row in rows[:12]:
        took = getattr(row, name)
        title = row.key.replace("|", "/")[:90]
        lines.append(f"| `{title}` | {took / steps / 1e3:.2f} | {100 * took / spent:.0f} % |")
    idle = max(0.0, 1 - spent / wall)
    return [*lines, "", f"No kernel at work: {100 * idle:.0f} % of {wall / steps / 1e3:.1f} ms."]


def plot(path: Path, title: str, axis: str, series: dict[str, list[tuple[int, float]]]) -> None:
    """Draw milliseconds a step against a count that doubles, a line for each series."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    points = [point for line in series.values() for point in line]
    counts = sorted({count for count, _ in points})
    most = max(value for _, value in points) * 1.1

    def at(count: int, value: float) -> tuple[float, float]:
        across = counts.index(count) / max(1, len(counts) - 1)
        room = WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE
        return EDGE + across * room[0], HEIGHT - EDGE - value / most * room[1]

    draw.text((EDGE, 12), title, fill="black")
    draw.text((WIDTH // 2, HEIGHT - 20), axis, fill="black")
    for count in counts:
        draw.text((at(count, 0)[0] - 6, HEIGHT - EDGE + 8), str(count), fill="black")
    for part in range(5):
        value = most * part / 4
        height = at(counts[0], value)[1]
        draw.line([(EDGE, height), (WIDTH - EDGE, height)], fill="#dddddd")
        draw.text((4, height - 6), f"{value:.3g} ms", fill="black")
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [at(*point) for point in sorted(line)]
        draw.line(places, fill=colour, width=2)
        for x, y in places:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
        draw.text((EDGE + 8, 32 + 14 * number), name, fill=colour)
    image.save(path)


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
