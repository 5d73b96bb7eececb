"""The GPU benchmark's results: what each part found, put together over several calls."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gpu_steps import Timing

from ticli.durable import write_file

FILE = "numbers.json"
# What must be the same in every call that adds to one folder.
SAME = ("device", "torch", "diffusers", "precision", "shapes")


@dataclass
class Found:
    """What a part measured: steps, figures by bars' keys, lines; bars failed outright."""

    timings: list[Timing] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: Found) -> None:
        """Take up what another found."""
        self.timings += other.timings
        self.figures |= other.figures
        self.lines += other.lines
        self.missed += other.missed
        self.seconds += other.seconds


@dataclass
class Results:
    """All that was found so far, and on what; `rate` in operations a second, `work` by model.

    `failed` says of parts why they could not be measured.
    """

    taken: dict[str, str]
    rate: float = 0.0
    work: dict[str, float] = field(default_factory=dict)
    parts: dict[str, Found] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def together(self) -> Found:
        """What all parts found."""
        found = Found()
        for part in self.parts.values():
            found.add(part)
        return found

    def save(self, folder: Path) -> None:
        """Write everything as JSON, so that a later call can go on."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        write_file(folder / FILE, text.encode(), replace=True, mode=0o666)


def results_in(folder: Path, taken: dict[str, str]) -> Results:
    """What earlier calls found, or nothing yet; ends where those were taken on something else."""
    path = folder / FILE
    if not path.exists():
        return Results(taken)
    raw: dict[str, Any] = json.loads(path.read_text())
    before = raw["taken"]
    for name in SAME:
        if before.get(name) != taken.get(name):
            raise SystemExit(
                f"{path} was taken with {name} {before.get(name)}, and here it is "
                f"{taken.get(name)}: give another folder as --out"
            )
    for name, value in taken.items():
        if value not in before.setdefault(name, value).split("; "):
            before[name] += f"; {value}"
    parts = {
        name: Found(**(part | {"timings": [Timing(**row) for row in part["timings"]]}))
        for name, part in raw["parts"].items()
    }
    return Results(before, raw["rate"], raw["work"], parts, raw["failed"])
