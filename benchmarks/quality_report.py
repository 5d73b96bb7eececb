"""The table and the trade-off plot of a quality ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from intervals import FEWEST, Interval, Pairs, difference, way_gone
from ledger import Ledger
from protocol import TUNING_SETS

from ticli.durable import write_file
from ticli.scoring.chart import Chart, Point, write_chart

HEADINGS = (
    "recipe", "sets", "runs", "image", "left out", "way gone", "obedience", "bare", "scenes",
    "copied", "text", "steps", "settled", "wall", "image − baseline", "obedience − baseline",
)  # fmt: skip


class Results:
    """What the ledger holds under some protocols, by recipe and by (set, seed)."""

    def __init__(self, ledger: Ledger, protocols: Sequence[str]) -> None:
        self.classes = {
            row["set"]: row for row in ledger.rows("class") if row["protocol"]["id"] in protocols
        }
        self.scored = [row for row in ledger.rows("scored") if row["protocol"] in protocols]
        self.trained = {row["id"]: row for row in ledger.rows("trained")}
        self.failed = [row for row in ledger.rows("failed") if row["id"] not in self.trained]

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

    def left_out(self, recipe: str, sets: Sequence[str]) -> dict[str, float]:
        """Image similarity with the photo a word never saw, the mean of each set's."""
        return means_of(
            (row["set"], row["left_out"])
            for row in self.scored
            if row["recipe"] == recipe and row["set"] in sets and row["without"] is not None
        )

    def by_set(self, recipe: str, sets: Sequence[str], figure: str) -> dict[str, float]:
        """A figure's mean over the seeds of each set."""
        found = self.pairs(recipe, sets, figure)
        return means_of((name, value) for (name, _), value in found.items())

    def way(self, image: Mapping[str, float]) -> Interval | None:
        """How far an image similarity by set is from the class word's to real photos'."""
        parts = []
        for name, word in image.items():
            known = self.classes.get(name)
            # One photo alone has no likeness among themselves.
            if known is not None and known["photos"]["image"] is not None:
                parts.append((word, known["class"]["image"], known["photos"]["image"]))
        return way_gone(parts) if parts else None

    def count(self, recipe: str, sets: Sequence[str]) -> str:
        """How many runs there are, of how many that were tried."""
        runs = len(self.runs(recipe, sets))
        keys = [row["id"].split("/") for row in self.failed if row["set"] in sets]
        lost = sum(key[1] == recipe and len(key) == 3 for key in keys)
        return f"{runs} of {runs + lost}" if lost else str(runs)


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
    lines = [*preamble(results, sets), *rows_of(results, finished, sets, baseline)]
    judging = [name for name in sets if name not in TUNING_SETS]
    if judging and len(judging) < len(sets):
        lines += ["", f"The sets that no recipe is screened on alone: {', '.join(judging)}.", ""]
        lines += rows_of(results, finished, judging, baseline)
    text = "\n".join(lines) + "\n"
    write_file(out / "table.md", text.encode(), replace=True, mode=0o666)
    print(text)
    if finished:
        chart = chart_of(results, finished, sets)
        write_file(out / "tradeoff.png", write_chart(chart), replace=True, mode=0o666)


def rows_of(
    results: Results, recipes: Sequence[str], sets: Sequence[str], baseline: str
) -> list[str]:
    """The table of those recipes that ran on some of the sets."""
    ran = [recipe for recipe in recipes if results.runs(recipe, sets)]
    return table([HEADINGS, *(recipe_row(results, recipe, sets, baseline) for recipe in ran)])


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
    image, left_out = results.by_set(recipe, sets, "image"), results.left_out(recipe, sets)
    figures = {
        key: mean(list(results.by_set(recipe, sets, key).values()))
        for key in ("image", "obedience", "obedience_bare", "scene_accuracy", "copied", "text")
    }
    differences = [
        difference(results.pairs(recipe, sets, key), results.pairs(baseline, sets, key))
        for key in ("image", "obedience")
    ]
    return [
        recipe,
        str(len(image)),
        results.count(recipe, sets),
        short(figures["image"]),
        beside(mean(list(left_out.values())), results.way(left_out)),
        spread(results.way(image)),
        short(figures["obedience"]),
        short(figures["obedience_bare"]),
        short(figures["scene_accuracy"]),
        short(figures["copied"]),
        short(figures["text"]),
        f"{np.mean([row['steps'] for row in trained]):.0f}",
        f"{np.mean(settled):.0%}",
        f"{np.mean([row['wall'] for row in trained]):.0f} s",
        *("" if recipe == baseline else told(found) for found in differences),
    ]


def chart_of(results: Results, recipes: Sequence[str], sets: Sequence[str]) -> Chart:
    """Means over seeds, then over the sets that all recipes ran on, each recipe a dot.

    Recipes that ran on few sets are left out where others ran on more.
    """
    ran = {recipe: results.by_set(recipe, sets, "image").keys() for recipe in recipes}
    recipes = [recipe for recipe in recipes if len(ran[recipe]) >= FEWEST] or recipes
    common = [name for name in sets if all(name in ran[recipe] for recipe in recipes)]
    sets = common or sets
    known = [results.classes[name] for name in sets if name in results.classes]
    start = mean([row["class"]["image"] for row in known])
    real = mean([row["photos"]["image"] for row in known if row["photos"]["image"] is not None])
    points = []
    for recipe in recipes:
        across = mean(list(results.by_set(recipe, sets, "obedience").values()))
        height = mean(list(results.by_set(recipe, sets, "image").values()))
        if across is not None and height is not None:
            place = None if start is None else (1.0, start)
            points.append(Point(recipe, across, height, place))
    return Chart(
        "Likeness against obedience, by recipe",
        "text obedience (class word: 1)",
        "image similarity",
        tuple(points),
        {} if real is None else {"photos among themselves": real},
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


def means_of(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The mean of the values of each name."""
    by_name: dict[str, list[float]] = {}
    for name, value in values:
        by_name.setdefault(name, []).append(value)
    return {name: sum(own) / len(own) for name, own in by_name.items()}


def beside(value: float | None, way: Interval | None) -> str:
    """A figure, and the way gone by it."""
    return "" if value is None else f"{value:.3f}, way {spread(way)}"


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
