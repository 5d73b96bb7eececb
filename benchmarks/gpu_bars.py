"""What the GPU benchmark is measured against, and what was found, met or missed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gpu_steps import Timing

PLAIN, EAGER, WORDS = "plain loop", "ours, eager", "ours, several words"
RECORDED, COMPILED = "ours, recorded", "ours, recorded and compiled"
DEFAULT = "ours, recorded, by the default recipe"
OURS_XL, SCRIPT, SCRIPT_XL = "ours, XL at 1024 pixels", "diffusers' script", "diffusers' XL script"
OURS = (EAGER, RECORDED, COMPILED)
# The devices that the bars are for.
DEVICES = ("H100", "H200")
# What a card of 4 and of 6 GB has left where its context is, GiB.
CARDS = {"sd15": 3.5, "sdxl": 5.5}
MANY = 16


@dataclass(frozen=True)
class Bar:
    """A figure with what it must not be above, or below where `least`; None: only reported."""

    key: str
    what: str
    limit: float | None = None
    aim: float | None = None
    unit: str = ""
    least: bool = False

    def text(self) -> str:
        """The bar in words."""
        if self.limit is None:
            return "reported"
        aim = f" (aim {self.aim:g})" if self.aim is not None else ""
        return f"{'≥' if self.least else '≤'} {self.limit:g}{self.unit}{aim}"

    def verdict(self, value: float | None) -> str:
        """Whether a figure meets it."""
        if value is None:
            return "not measured"
        if self.limit is None:
            return "reported"
        if not (value >= self.limit if self.least else value <= self.limit):
            return "missed"
        if self.aim is None:
            return "met"
        return "met, the aim too" if value <= self.aim else "met, the aim missed"


# Stable Diffusion 1.5 at 512 pixels in bfloat16, by batch: ms a step, the aim, GiB allocated.
STEPS = {1: (15, 12, 3.1), 4: (30, 27, 5.4), 8: (52, 48, 8.5)}
BARS = (
    *(
        bar
        for batch, (most, aim, memory) in STEPS.items()
        for bar in (
            Bar(f"ms/{batch}", f"SD 1.5, a step at batch {batch}", most, aim, " ms"),
            Bar(f"gib/{batch}", f"SD 1.5, allocated at batch {batch}", memory, unit=" GiB"),
        )
    ),
    Bar("xl/floor", "XL at 1024 pixels, a step at batch 1, times its floor", 3, unit="×"),
    Bar("command/warm", "whole command, kernels kept", 25, unit=" s"),
    Bar("command/first", "whole command, no kernel kept", 40, unit=" s"),
    Bar(
        f"together/commands/{MANY}",
        f"{MANY} words an hour, times {MANY} commands",
        2.2,
        None,
        "×",
        True,
    ),
    Bar(f"together/step/{MANY}", f"{MANY} words a step, times one by one", 1.25, None, "×", True),
    Bar(
        "low/sd15",
        "SD 1.5 with --low-memory on a 4 GB card, allocated",
        CARDS["sd15"],
        None,
        " GiB",
    ),
    Bar("low/sdxl", "XL with --low-memory on a 6 GB card, allocated", CARDS["sdxl"], None, " GiB"),
    Bar("script/1", "diffusers' script at batch 1, times our step", unit="×"),
    Bar("script/4", "diffusers' script at batch 4, times our step", unit="×"),
    Bar("script/xl", "diffusers' XL script, times our step", unit="×"),
    Bar("script/xl-floor", "diffusers' XL script, times its floor", unit="×"),
)


def figures(timings: Sequence[Timing], others: Mapping[str, float]) -> dict[str, float]:
    """Every figure that a bar may ask for, from the steps that were timed and what else was."""
    found = dict(others)
    best = {batch: row for batch in STEPS if (row := fastest(timings, batch)) is not None}
    for batch, row in best.items():
        found[f"ms/{batch}"] = 1e3 * row.seconds
        if row.allocated is not None:
            found[f"gib/{batch}"] = row.allocated
    rows = {(row.what, row.batch): row for row in timings}
    for batch, row in best.items():
        if (script := rows.get((SCRIPT, batch))) is not None:
            found[f"script/{batch}"] = script.seconds / row.seconds
    ours, script = rows.get((OURS_XL, 1)), rows.get((SCRIPT_XL, 1))
    if ours is not None:
        found["xl/floor"] = ours.seconds / ours.floor
    if script is not None:
        found["script/xl-floor"] = script.seconds / script.floor
        if ours is not None:
            found["script/xl"] = script.seconds / ours.seconds
    return found


def fastest(timings: Sequence[Timing], batch: int) -> Timing | None:
    """The row of ours that a run of enough steps would come to at this batch."""
    rows = [row for row in timings if row.what in OURS and row.batch == batch]
    return min(rows, key=lambda row: row.seconds, default=None)


def of_row(row: Timing) -> str:
    """The bar that a row of the table is beside, and whether it is met."""
    if row.what == OURS_XL:
        bar = next(bar for bar in BARS if bar.key == "xl/floor")
        return f"{bar.text()} the floor: {bar.verdict(row.seconds / row.floor)}"
    if row.words != 1 or row.batch not in STEPS or row.what not in (RECORDED, COMPILED, DEFAULT):
        return ""
    time, memory = (
        next(bar for bar in BARS if bar.key == f"{unit}/{row.batch}") for unit in ("ms", "gib")
    )
    return (
        f"{time.text()}: {time.verdict(1e3 * row.seconds)}; "
        f"{memory.text()}: {memory.verdict(row.allocated)}"
    )


def verdicts(found: Mapping[str, float], failed: Collection[str], small: bool) -> list[str]:
    """A line for every bar: what was measured, the bar, and met, missed or not measured."""
    lines = ["| | measured | bar | |", "|---|---|---|---|"]
    for bar in BARS:
        value = found.get(bar.key)
        measured = "-" if value is None else f"{value:.3g}{bar.unit}"
        verdict = bar.verdict(value)
        if bar.key in failed:
            verdict = "missed: it failed"
        elif small and value is not None:
            verdict = "tried in small"
        lines.append(f"| {bar.what} | {measured} | {bar.text()} | {verdict} |")
    return lines
