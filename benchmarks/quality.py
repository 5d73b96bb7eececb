"""Learn every photo set by every recipe, score the words, and compare recipes in pairs.

    python benchmarks/quality.py CONCEPTS --out DIR [--mode screening|finals] [--recipes a,b]
        [--sets a,b] [--seeds 0,1] [--leave-one-out] [--drawing-seeds 5,6]
        [--time-budget MINUTES] [--report-only]

CONCEPTS holds a folder of photos a set, and concepts.json. DIR keeps the ledger, one row for each
finished piece of work, and the learned words beside it: the same command again goes on where it
was stopped, and scores under another protocol need no training. It ends with DIR/table.md and
DIR/tradeoff.png. Processes with sets of their own may share DIR; --report-only then
writes the table of all. Screening: the recipes marked for it, three sets, one seed, 16 and 2
pictures, tuning prompts. Finals: every set, three seeds, 32 and 8 pictures, the prompts that judge.
A word is learned again when its recipe, its model or its photos are no longer the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ledger import Ledger
from protocol import (
    TUNING_SETS,
    Bench,
    PhotoSet,
    chosen,
    figures_of,
    likeness_to_one,
    open_bench,
    parse_counts,
    parse_seeds,
    read_sets,
    references,
)
from quality_report import write_report
from runs_of import (
    Task,
    Waits,
    Work,
    command_of,
    copy_photos,
    digests,
    facts_in,
    facts_of,
    has_masks,
    photos_of,
)

from ticli.concept import Concept, Embedding
from ticli.durable import make_folder, write_file
from ticli.errors import TiError
from ticli.library.record import concept_from_document

HERE = Path(__file__).resolve().parent
MODES = {"screening": ("0", "16,2"), "finals": ("0,1,2", "32,8")}


def tasks_of(
    sets: Sequence[PhotoSet], recipes: Sequence[str], seeds: Sequence[int], left_out: bool
) -> Iterator[Task]:
    """Seeds, then sets, then recipes: what is done when time is up can be compared in pairs."""
    for seed in seeds:
        for photo_set in sets:
            for recipe in recipes:
                yield Task(photo_set, recipe, seed)
    if left_out:
        for seed in seeds:
            for photo_set in sets:
                for number in range(len(photos_of(photo_set))):
                    for recipe in recipes:
                        yield Task(photo_set, recipe, seed, number)


def learn(work: Work, task: Task) -> dict[str, Any]:
    """Learn one word in a library of its own and keep its file beside the ledger.

    A kept word counts as this one where recipe, model and photos are the same.
    """
    file = work.out / "words" / f"{task.key}.safetensors"
    done = work.ledger.get("trained", task.key)
    with tempfile.TemporaryDirectory(prefix="ti-quality-") as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        copy_photos(task, photos)
        kept = done is not None and file.is_file()
        if done and kept and facts_in(done["document"]) == facts_of(work, task, photos):
            return done
        began = time.monotonic()
        run = subprocess.run(
            command_of(work, task, photos),
            env=os.environ | {"TI_HOME": str(Path(folder) / "home")},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        wall = time.monotonic() - began
        document = json.loads(run.stdout)
        make_folder(file.parent, 0o777)
        # Where it lay for a moment is no fact of the word.
        stored = Path(document.pop("path"))
        write_file(file, stored.read_bytes(), replace=True, mode=0o666)
    return work.ledger.add("trained", task.key, row_of(task, document, wall))


def row_of(task: Task, document: Mapping[str, Any], wall: float) -> dict[str, Any]:
    """A finished run's row; `wall` in seconds."""
    return {
        "set": task.photo_set.name,
        "recipe": task.recipe,
        "seed": task.seed,
        "without": task.without,
        "wall": round(wall, 2),
        "steps": document["steps"],
        "outcome": document["outcome"],
        "warnings": document["warnings"],
        "document": document,
    }


def score(bench: Bench, work: Work, task: Task) -> None:
    """Score a learned word, its class word's figures from the ledger where they are there."""
    protocol = bench.protocol(task.photo_set.kind).as_json()
    key = f"{task.key}@{protocol['id']}"
    trained = learn(work, task)
    scored = work.ledger.get("scored", key)
    file = work.out / "words" / f"{task.key}.safetensors"
    if scored is not None and scored["sha256"] == trained["document"]["sha256"]:
        return
    learned = read_word(file, trained["document"])
    values: dict[str, Any] = {
        "set": task.photo_set.name,
        "recipe": task.recipe,
        "seed": task.seed,
        "without": task.without,
        "protocol": protocol["id"],
        "sha256": trained["document"]["sha256"],
    }
    if task.without is not None:
        values["left_out"] = likeness_to_one(bench, task.photo_set, learned, task.without)
    else:
        reference = class_word(bench, work, task.photo_set)
        values["word"], _ = figures_of(bench, task.photo_set, learned, reference["class"])
    work.ledger.add("scored", key, values)


def class_word(bench: Bench, work: Work, photo_set: PhotoSet) -> dict[str, Any]:
    """A set's references under the protocol, measured once."""
    key = f"{photo_set.name}@{bench.protocol(photo_set.kind).as_json()['id']}"
    of = {"word": photo_set.word, "photos": digests(photo_set.folder)}
    known = work.ledger.get("class", key)
    if known is None or known["of"] != of:
        figures, _ = references(bench, photo_set)
        known = work.ledger.add("class", key, {"set": photo_set.name, "of": of, **figures})
    return known


def read_word(file: Path, document: Mapping[str, Any]) -> tuple[Concept, Embedding]:
    """A kept word, whose row stands in the ledger."""
    from ticli.library.formats.tensor_file import parse_tensor_file

    tensors = parse_tensor_file(file.read_bytes(), str(file)).tensors
    embedding = Embedding(dict(tensors))
    return concept_from_document(document, embedding), embedding


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("concepts", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mode", choices=tuple(MODES), default="screening")
    parser.add_argument("--recipes", default="", help="names of the recipes file; all by default")
    parser.add_argument("--recipes-file", type=Path, default=HERE / "recipes.yaml")
    parser.add_argument("--sets", default="")
    parser.add_argument("--seeds", default="")
    parser.add_argument("--counts", default="")
    parser.add_argument("--scenes", choices=("judge", "tune"), default="")
    parser.add_argument("-m", "--model", default="starter")
    parser.add_argument("--encoder", default="starter")
    parser.add_argument("--drawing-steps", type=int, default=20)
    parser.add_argument("--drawing-seeds", default="", metavar="PLAIN,SCENE")
    parser.add_argument("--baseline", default="default")
    parser.add_argument("--leave-one-out", action="store_true")
    parser.add_argument("--time-budget", type=float, default=0.0, metavar="MINUTES")
    parser.add_argument("--report-only", action="store_true")
    return parser.parse_args(arguments)


def runnable(work: Work, task: Task) -> bool:
    """Whether a recipe has what it needs of a set."""
    return work.recipes[task.recipe].get("needs") != "masks" or has_masks(task.photo_set)


def run_all(bench: Bench, work: Work, tasks: Sequence[Task]) -> int:
    """Learn and score in order; the number of tasks that the time budget left undone.

    A run that fails is said and tried again by the next call.
    """
    longest = 0.0
    for number, task in enumerate(tasks):
        if work.left() < longest:
            return len(tasks) - number
        began = time.monotonic()
        end = "done"
        try:
            score(bench, work, task)
        except subprocess.CalledProcessError as error:
            end = f"failed with exit code {error.returncode}"
        except (Waits, TiError) as error:
            end = f"failed: {error}"
        if end != "done":
            work.ledger.add("failed", task.key, {"set": task.photo_set.name, "why": end})
        longest = max(longest, time.monotonic() - began)
        print(f"{number + 1} of {len(tasks)}: {task.key} {end}", file=sys.stderr, flush=True)
    return 0


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(arguments)
    seeds, counts = MODES[options.mode]
    sets = read_sets(options.concepts)
    screening = options.mode == "screening"
    names = [name for name in TUNING_SETS if name in sets] if screening else list(sets)
    if options.sets:
        names = chosen(options.sets, list(sets))
    recipes = yaml.safe_load(options.recipes_file.read_text("utf-8"))
    wanted = [name for name in recipes if not screening or recipes[name].get("screen")]
    if options.recipes:
        wanted = chosen(options.recipes, list(recipes))
    make_folder(options.out, 0o777)
    minutes = options.time_budget or float("inf")
    work = Work(
        options.out,
        Ledger(options.out / "ledger.jsonl"),
        options.model,
        recipes,
        time.monotonic() + minutes * 60,
    )
    tuning = (options.scenes or ("tune" if screening else "judge")) == "tune"
    bench = open_bench(
        parse_counts(options.counts or counts),
        tuning=tuning,
        steps=options.drawing_steps,
        names=(options.model, options.encoder),
        seeds=parse_seeds(options.drawing_seeds),
    )
    numbers = [int(seed) for seed in (options.seeds or seeds).split(",")]
    found = tasks_of([sets[name] for name in names], wanted, numbers, options.leave_one_out)
    tasks = [task for task in found if runnable(work, task)]
    undone = 0 if options.report_only else run_all(bench, work, tasks)
    ids = [bench.protocol(kind).as_json()["id"] for kind in ("object", "style")]
    write_report(options.out, work.ledger, ids, (wanted, names, options.baseline))
    if undone:
        print(f"time is up: {undone} of {len(tasks)} left; run it again to go on", file=sys.stderr)


if __name__ == "__main__":
    main()
