"""The table and the trade-off plot of a quality ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from intervals import Interval, Pairs, difference, way_gone
from ledger import Ledger

from ticli.durable import write_file
from ticli.scoring.tradeoff import Chart, Level, Point, write_chart

HEADINGS = (
    "recipe", "runs", "image", "left out", "way gone", "obedience", "scenes", "copied", "text",
    "steps", "settled", "wall", "image − baseline", "obedience − baseline",
)  # fmt: skip


class Results:
    """What the ledger holds under some protocols, by recipe and by (set, seed)."""

    def __init__(self, ledger: Ledger, protocols: Sequence[str]) -> None:
        self.classes = {
            row["set"]: row for row in ledger.rows("class") if row["protocol"]["id"] in protocols
        }
        self.scored = [row for row in ledger.rows("scored") if row["protocol"] in protocols]
        self.trained = {row["id"]: row for row in ledger.rows("trained")}

    def runs(self, recipe: str, sets: Sequence[str]) -> list[dict[str, Any]]:
        """The scored runs of a recipe with all photos."""
        return [
            row
            for row in self.scored
            if row["recipe"] == recipe and row["set"] in sets and row["without"] is None
        ]

    def pairs(self, recipe: str, sets: Sequence[str], figure: str) -> Pairs:
        """A figure by (set, seed)."""
        found = {(r["set"], r["seed"]): r["word"][figure] for r in self.runs(recipe, sets)}
        return {key: value for key, value in found.items() if value is not None}

    def left_out(self, recipe: str, sets: Sequence[str]) -> float | None:
        """Image similarity with the photo a word never saw: the mean over sets of photo means."""
        by_set: dict[str, list[float]] = {}
        for row in self.scored:
            if row["recipe"] == recipe and row["set"] in sets and row["without"] is not None:
                by_set.setdefault(row["set"], []).append(row["left_out"])
        return mean([mean(values) for values in by_set.values()])

    def way(self, recipe: str, sets: Sequence[str]) -> Interval | None:
        """How far from the class word to real photos, over the sets."""
        parts = []
        image = self.pairs(recipe, sets, "image")
        for name in sets:
            word = mean([value for (found, _), value in image.items() if found == name])
            if word is not None and name in self.classes:
                known = self.classes[name]
                parts.append((word, known["class"]["image"], known["photos"]["image"]))
        return way_gone(parts) if parts else None


def write_report(
    out: Path,
    ledger: Ledger,
    protocols: Sequence[str],
    wanted: tuple[Sequence[str], Sequence[str], str],
) -> None:
    """Write table.md and tradeoff.png of (recipes, sets, baseline), and print the table."""
    recipes, sets, baseline = wanted
    results = Results(ledger, protocols)
    finished = [recipe for recipe in recipes if results.runs(recipe, sets)]
    rows = [recipe_row(results, recipe, sets, baseline) for recipe in finished]
    text = "\n".join([*preamble(results, sets), *table([HEADINGS, *rows])]) + "\n"
    write_file(out / "table.md", text.encode(), replace=True, mode=0o666)
    print(text)
    if finished:
        chart = chart_of(results, finished, sets)
        write_file(out / "tradeoff.png", write_chart(chart, ".png"), replace=True, mode=0o666)


def preamble(results: Results, sets: Sequence[str]) -> list[str]:
    """What every figure depends on, and the references."""
    known = [results.classes[name] for name in sets if name in results.classes]
    lines = []
    for protocol in {row["protocol"]["id"]: row["protocol"] for row in known}.values():
        counts, drawn = protocol["counts"], protocol["drawn"]
        lines.append(
            f"Protocol {protocol['id']}: {protocol['encoder']}; {counts['plain']} of "
            f"{protocol['prompts']['plain']!r}, {counts['scene']} of each of "
            f"{len(protocol['prompts']['scenes'])} scenes; {protocol['model']}, {drawn['steps']} "
            f"steps of {drawn['sampler']}, guidance {drawn['guidance']:g}; "
            f"{protocol['placeholder']}."
        )
    if known:
        image = mean([row["class"]["image"] for row in known])
        scenes = mean([row["class"]["scene_accuracy"] for row in known])
        text = mean([row["class"]["text"] for row in known])
        real = mean([row["photos"]["image"] for row in known])
        copied = mean([row["photos"]["copied"] for row in known])
        lines.append(
            f"Sets: {', '.join(row['set'] for row in known)}. Class word: image {short(image)}, "
            f"scenes {short(scenes)}, text {short(text)}. Photos among themselves: "
            f"image {short(real)}, copied {short(copied)}."
        )
    return [part for line in lines for part in (line, "")]


def recipe_row(results: Results, recipe: str, sets: Sequence[str], baseline: str) -> list[str]:
    """One recipe's line of the table."""
    runs = results.runs(recipe, sets)
    trained = [results.trained[f"{r['set']}/{recipe}/{r['seed']}"] for r in runs]
    settled = [row["outcome"].get("stopped") == "settled" for row in trained]
    figures = {
        key: mean([r["word"][key] for r in runs if r["word"][key] is not None])
        for key in ("image", "obedience", "scene_accuracy", "copied", "text")
    }
    differences = [
        difference(results.pairs(recipe, sets, key), results.pairs(baseline, sets, key))
        for key in ("image", "obedience")
    ]
    return [
        recipe,
        str(len(runs)),
        short(figures["image"]),
        short(results.left_out(recipe, sets)),
        spread(results.way(recipe, sets)),
        short(figures["obedience"]),
        short(figures["scene_accuracy"]),
        short(figures["copied"]),
        short(figures["text"]),
        f"{np.mean([row['steps'] for row in trained]):.0f}",
        f"{np.mean(settled):.0%}",
        f"{np.mean([row['wall'] for row in trained]):.0f} s",
        *("" if recipe == baseline else told(found) for found in differences),
    ]


def chart_of(results: Results, recipes: Sequence[str], sets: Sequence[str]) -> Chart:
    """Means over sets and seeds, each recipe a dot."""
    known = [results.classes[name] for name in sets if name in results.classes]
    start = mean([row["class"]["image"] for row in known])
    real = mean([row["photos"]["image"] for row in known if row["photos"]["image"] is not None])
    points = []
    for recipe in recipes:
        across = mean(list(results.pairs(recipe, sets, "obedience").values()))
        height = mean(list(results.pairs(recipe, sets, "image").values()))
        if across is not None and height is not None:
            place = None if start is None else (1.0, start)
            points.append(Point(recipe, across, height, place))
    return Chart(
        "Likeness against obedience, by recipe",
        "text obedience (class word: 1)",
        "image similarity",
        tuple(points),
        () if real is None else (Level("photos among themselves", real),),
        f"means over {', '.join(sets)}; protocols "
        + ", ".join(sorted({row["protocol"]["id"] for row in known})),
    )


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as a Markdown table, its first line the headings."""
    head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    return [head, "|---" + "|--:" * (len(rows[0]) - 1) + "|", *rest]


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of what is known; None of nothing."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def spread(found: Interval | None) -> str:
    """A mean with its interval."""
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return f"{found.mean:.2f}"
    return f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"


def told(found: Interval | None) -> str:
    """A difference with its interval and what may be said of it."""
    if found is None:
        return ""
    if found.low is None:
        return f"{found.mean:+.3f}"
    return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}] {found.verdict}"
