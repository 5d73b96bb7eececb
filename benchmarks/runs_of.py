"""The runs that benchmarks/quality.py makes: what is learned, where, and by which command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import script_reference
from ledger import Ledger
from protocol import PhotoSet

from ticli.durable import make_folder, write_file
from ticli.models.fingerprint import fingerprint
from ticli.models.locate import locate
from ticli.photos.finding import CAPTION_SUFFIXES, find_photos, mask_paths
from ticli.photos.loading import load_photos

HERE = Path(__file__).resolve().parent


class Waits(Exception):
    """What a run takes its length from is not finished yet."""


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
            command += ["--seconds", str(beside(work, task, recipe["seconds_of"])["wall"])]
        return command
    if "longer_than" in recipe:
        steps = beside(work, task, recipe["longer_than"])["steps"] * recipe["times"]
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


def beside(work: Work, task: Task, recipe: str) -> dict[str, Any]:
    """What a recipe's finished run with the same photos and seed came to. Raises Waits."""
    key = replace(task, recipe=recipe).key
    done = work.ledger.get("trained", key)
    if done is None:
        raise Waits(f"there is no finished run {key} to go by")
    return done


def copy_photos(task: Task, folder: Path) -> None:
    """Put a set's photos, but for the one left out, and what stands beside each into a folder."""
    for number, photo in enumerate(photos_of(task.photo_set)):
        if number != task.without:
            captions = map(photo.with_suffix, CAPTION_SUFFIXES)
            for file in (photo, *captions, *mask_paths(photo)):
                if file.exists():
                    shutil.copy(file, folder)


def photos_of(photo_set: PhotoSet) -> list[Path]:
    """A set's usable photos, in the order of their scores."""
    return [photo.path for photo in load_photos(find_photos([str(photo_set.folder)])).photos]


def has_masks(photo_set: PhotoSet) -> bool:
    """Whether a photo of the set has a mask beside it, or is transparent itself."""
    photos = load_photos(find_photos([str(photo_set.folder)])).photos
    beside = any(photo_set.folder.glob("*.mask.png"))
    return beside or any(photo.alpha is not None for photo in photos)


def digests(folder: Path) -> list[str]:
    """The SHA-256 of each usable photo of a folder."""
    return [photo.sha256 for photo in load_photos(find_photos([str(folder)])).photos]


def facts_of(work: Work, task: Task, photos: Path) -> dict[str, Any]:
    """All that decides what a run learns: settled recipe, model, photos. The seed is in its key.

    Raises Waits, and CalledProcessError where the command refuses.
    """
    command = command_of(work, task, photos)
    if work.recipes[task.recipe].get("engine") == "script":
        told = script_reference.told(script_reference.read_options(command[2:]))
        model = fingerprint(locate(work.model))
        return {"recipe": told, "fingerprint": model, "photos": digests(photos)}
    plan = json.loads(
        subprocess.run([*command, "-n"], stdout=subprocess.PIPE, text=True, check=True).stdout
    )
    found = [photo["sha256"] for photo in plan["photos"]]
    return {"recipe": plan["recipe"], "fingerprint": plan["fingerprint"], "photos": found}


def facts_in(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a word that was learned."""
    photos = [photo["sha256"] for photo in document["photos"]]
    model = document["base"]["fingerprint"]
    return {"recipe": document["recipe"], "fingerprint": model, "photos": photos}
