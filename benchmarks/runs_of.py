"""The runs that benchmarks/quality.py makes: what is learned, where, and by which command."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ledger import Ledger
from protocol import PhotoSet

from ticli.durable import make_folder, write_file

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Task:
    """One word to learn: a set by a recipe with a seed, perhaps without one of its photos."""

    photo_set: PhotoSet
    recipe: str
    seed: int
    without: int | None = None

    @property
    def key(self) -> str:
        left_out = "" if self.without is None else f"/without-{self.without}"
        return f"{self.photo_set.name}/{self.recipe}/{self.seed}{left_out}"


@dataclass(frozen=True)
class Work:
    """Where everything is kept, and what is compared; `deadline` is a monotonic time."""

    out: Path
    ledger: Ledger
    model: str
    recipes: Mapping[str, Mapping[str, Any]]
    deadline: float

    def left(self) -> float:
        """Seconds of the time budget that are left."""
        return self.deadline - time.monotonic()


def command_of(work: Work, task: Task, photos: Path) -> list[str]:
    """The command that learns a word, as a user would type it."""
    recipe = work.recipes[task.recipe]
    facts = task.photo_set
    common = [str(photos), "--token", facts.name, "--init", facts.word, "--kind", facts.kind]
    common += ["--seed", str(task.seed), "-m", work.model]
    if recipe.get("engine") == "script":
        command = [sys.executable, str(HERE / "script_reference.py"), *common]
        command += map(str, recipe["flags"])
        if "seconds_of" in recipe:
            command += ["--seconds", str(mean_seconds(work, recipe["seconds_of"]))]
        return command
    if "longer_than" in recipe:
        steps = longer(work, task, recipe["longer_than"], recipe["times"])
        common += ["--steps", str(steps), "--stop", "never"]
    chosen_recipe = recipe.get("preset")
    if chosen_recipe is None:
        path = work.out / "recipes" / f"{task.recipe}.yaml"
        make_folder(path.parent, 0o777)
        text = "".join(f"{knob}: {json.dumps(str(v))}\n" for knob, v in recipe["knobs"].items())
        write_file(path, text.encode(), replace=True, mode=0o666)
        chosen_recipe = str(path)
    command = [sys.executable, "-m", "ticli", "invert", *common, "--recipe", chosen_recipe]
    return [*command, *map(str, recipe.get("flags", ())), "--device", "cpu", "--json", "-q"]


def mean_seconds(work: Work, recipe: str) -> float:
    """The mean wall time of a recipe's finished runs with all photos."""
    found = [
        row["wall"]
        for row in work.ledger.rows("trained")
        if row["recipe"] == recipe and row["without"] is None
    ]
    if not found:
        raise SystemExit(f"no finished run of {recipe!r} to take the time from: name it first")
    return sum(found) / len(found)


def longer(work: Work, task: Task, recipe: str, times: int) -> int:
    """So many times the steps that a recipe's run with the same set and seed took."""
    done = work.ledger.get("trained", replace(task, recipe=recipe).key)
    if done is None:
        raise SystemExit(f"no finished run {recipe!r} to take the steps from: name it first")
    return int(done["steps"]) * times
