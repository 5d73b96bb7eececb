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

from protocol import (
    Bench,
    PhotoSet,
    chosen,
    figures_of,
    open_bench,
    parse_counts,
    read_sets,
    references,
)

from ticli.scoring.judge import lay_out


def learn(photo_set: PhotoSet, flags: list[str]) -> float:
    """Run `ti invert` as a user would; its wall time in seconds."""
    command = [sys.executable, "-m", "ticli", "invert", str(photo_set.folder)]
    command += ["--token", photo_set.name, "--init", photo_set.word, "--kind", photo_set.kind]
    began = time.monotonic()
    subprocess.run([*command, "-q", *flags], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def judge(bench: Bench, photo_set: PhotoSet, out: Path | None) -> dict[str, Any]:
    """Score one learned word of the library and its class word on the same seeds."""
    from ticli.library.library import Library

    library = Library.open()
    concept = library.get(photo_set.name)
    reference, _ = references(bench, photo_set)
    learned = (concept, library.embedding(concept))
    figures, drawn = figures_of(bench, photo_set, learned, reference["class"])
    if out:
        scenes = bench.protocol(photo_set.kind).prompts.scenes
        rows = [("photos", bench.photos(photo_set.folder)), (concept.trigger, drawn.plain)]
        lay_out([*rows, *zip(scenes, drawn.scenes, strict=True)]).save(
            out / f"{photo_set.name}.png"
        )
    return {"word": figures, "class_word": reference["class"], "photos": reference["photos"]}


def mean(results: list[dict[str, Any]], side: str) -> dict[str, float | None]:
    """Means over sets; None where a set lacks the figure."""
    found = {}
    for key in results[0][side]:
        values = [result[side][key] for result in results]
        known = [value for value in values if value is not None]
        found[key] = round(sum(known) / len(known), 3) if len(known) == len(values) else None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("concepts", type=Path)
    parser.add_argument("--sets", default="")
    parser.add_argument("--counts", default="16,2")
    parser.add_argument("--scenes", choices=("judge", "tune"), default="judge")
    parser.add_argument("--out", type=Path)
    parser.add_argument("flags", nargs="*")
    options = parser.parse_args()
    sets = read_sets(options.concepts)
    objects = [name for name, photo_set in sets.items() if photo_set.kind == "object"]
    names = chosen(options.sets, list(sets)) if options.sets else objects
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    os.environ["TI_HOME"] = tempfile.mkdtemp(prefix="ti-scores-")
    seconds = {name: round(learn(sets[name], options.flags), 1) for name in names}
    bench = open_bench(parse_counts(options.counts), tuning=options.scenes == "tune")
    results = []
    for name in names:
        result = judge(bench, sets[name], options.out) | {"seconds": seconds[name]}
        results.append(result)
        print(json.dumps({"set": name} | result), flush=True)
    summary: dict[str, Any] = {
        side: mean(results, side) for side in ("word", "class_word", "photos")
    }
    summary["protocol"] = bench.protocol("object").describe()
    print(json.dumps({"set": "MEAN"} | summary), flush=True)
    if options.out:
        document = dict(zip(names, results, strict=True)) | {"MEAN": summary}
        (options.out / "scores.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
