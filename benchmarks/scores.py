"""Learn every photo set with `ti invert` and score the words beside their references.

    python benchmarks/scores.py CONCEPTS [--sets a,b] [--counts 16,2] [--out DIR] [-- FLAGS...]

CONCEPTS holds one folder of photos a set and concepts.json with each set's kind and class word.
FLAGS go to `ti invert`. Prints one line a set and the means; DIR gets the figures and a sheet.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from protocol import (
    SCENES,
    TUNING_SCENES,
    Drawn,
    Scorer,
    draw_word,
    photos_among_themselves,
    score,
)

CELL = 130


def learn(folder: Path, name: str, facts: dict[str, str], flags: list[str]) -> dict[str, Any]:
    """Run `ti invert` as a user would; its document with the wall time added."""
    command = [sys.executable, "-m", "ticli", "invert", str(folder), "--token", name, "--init"]
    command += [facts["word"], "--kind", facts["kind"], "--json", "-q", *flags]
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout) | {"wall": time.monotonic() - began}


def sheet(photos: list[Image.Image], drawn: Drawn, scenes: tuple[str, ...]) -> Image.Image:
    """Photos on top, then pictures of the word: plain ones, then one row a picture of scenes."""
    rows = [photos, drawn.plain[:8]]
    rows += [[scene[i] for scene in drawn.scenes] for i in range(min(2, len(drawn.scenes[0])))]
    paper = Image.new("RGB", (CELL * max(map(len, rows)), CELL * len(rows) + 14), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            paper.paste(picture.resize((CELL - 2, CELL - 2)), (x * CELL, y * CELL))
    pen = ImageDraw.Draw(paper)
    for x, scene in enumerate(scenes):
        text = scene.replace("a photo of ", "").replace("{}", "*")
        pen.text((x * CELL + 2, CELL * len(rows)), text, fill="black")
    return paper


def judge(model: Any, scorer: Scorer, task: dict[str, Any]) -> dict[str, Any]:
    """Score one learned word and its class word on the same seeds."""
    import torch

    from ticli.library.library import Library
    from ticli.photos.cropping import training_picture
    from ticli.photos.finding import find_photos
    from ticli.photos.loading import load_photos

    found = load_photos(find_photos([str(task["folder"])]), model.source.size)
    photos = [training_picture(photo, model.source.size) for photo in found.photos]
    library = Library.open()
    concept = library.get(task["name"])
    rows = {
        concept.name: {
            key: torch.from_numpy(value.copy())
            for key, value in library.embedding(concept).rows.items()
        }
    }
    noun, scenes, counts = task["noun"], task["scenes"], task["counts"]
    plain = draw_word(model, noun, {}, counts, scenes)
    reference = score(scorer, plain, photos, noun, scenes, None)
    drawn = draw_word(model, concept.trigger, rows, counts, scenes)
    if task["out"]:
        sheet(photos, drawn, scenes).save(task["out"] / f"{task['name']}.png")
    return {
        "word": score(scorer, drawn, photos, noun, scenes, reference.text).as_json(),
        "class_word": reference.as_json() | {"obedience": 1.0},
        "photos": round(photos_among_themselves(scorer, photos), 3),
    }


def mean(results: list[dict[str, Any]], side: str) -> dict[str, float]:
    keys = results[0][side].keys()
    return {key: round(sum(r[side][key] for r in results) / len(results), 3) for key in keys}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("concepts", type=Path)
    parser.add_argument("--sets", default="")
    parser.add_argument("--counts", default="16,2")
    parser.add_argument("--scenes", choices=("judge", "tune"), default="judge")
    parser.add_argument("--out", type=Path)
    parser.add_argument("flags", nargs="*")
    options = parser.parse_args()
    facts = json.loads((options.concepts / "concepts.json").read_text())
    names = options.sets.split(",") if options.sets else [
        name for name, fact in facts.items() if fact["kind"] == "object"
    ]  # fmt: skip
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    os.environ["TI_HOME"] = tempfile.mkdtemp(prefix="ti-scores-")
    learned = {n: learn(options.concepts / n, n, facts[n], options.flags) for n in names}

    from ticli.models.hardware import pick_hardware
    from ticli.models.model import load_model
    from ticli.models.source import locate

    model = load_model(locate("starter"), pick_hardware("cpu"))
    scorer = Scorer(model.source.folder / "scorer")
    results = []
    for name in names:
        task = {
            "name": name,
            "folder": options.concepts / name,
            "noun": facts[name]["word"],
            "scenes": SCENES if options.scenes == "judge" else TUNING_SCENES,
            "counts": tuple(int(count) for count in options.counts.split(",")),
            "out": options.out,
        }
        result = judge(model, scorer, task) | {"seconds": round(learned[name]["wall"], 1)}
        results.append(result)
        print(json.dumps({"set": name} | result), flush=True)
    summary = {side: mean(results, side) for side in ("word", "class_word")}
    summary["photos"] = round(sum(r["photos"] for r in results) / len(results), 3)
    summary["protocol"] = f"{options.counts} pictures, {options.scenes} scenes"
    print(json.dumps({"set": "MEAN"} | summary), flush=True)
    if options.out:
        document = dict(zip(names, results, strict=True)) | {"MEAN": summary}
        (options.out / "scores.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
