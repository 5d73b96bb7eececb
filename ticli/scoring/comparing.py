"""Several reports side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ticli.scoring.tradeoff import Chart, Level, Point

# Photos of two sets rarely have one figure; a line each is readable up to so many.
MOST_LEVELS = 4


def chart_of(reports: Sequence[Mapping[str, Any]]) -> Chart:
    """The trade-off chart of reports, by the first encoder that compares with sentences."""
    read = [report for report in reports if report["word"]["obedience"] is not None]
    encoder = read[0]["protocol"]["encoder"] if read else ""
    shown = [report for report in read if report["protocol"]["encoder"] == encoder]
    return Chart(
        title="Likeness against obedience",
        x_label="text obedience (class word: 1)",
        y_label="image similarity",
        points=tuple(
            Point(
                report["name"],
                report["word"]["obedience"],
                report["word"]["image"],
                (1.0, report["class"]["image"]),
            )
            for report in shown
        ),
        levels=_levels(shown),
        foot=_foot(shown),
    )


def _levels(reports: Sequence[Mapping[str, Any]]) -> tuple[Level, ...]:
    names: dict[float, list[str]] = {}
    for report in reports:
        if report["photos"]["image"] is not None:
            names.setdefault(report["photos"]["image"], []).append(report["name"])
    if len(names) > MOST_LEVELS:
        return ()
    if len(names) == 1:
        return tuple(Level("photos among themselves", height) for height in names)
    return tuple(Level(f"photos of {', '.join(found)}", y) for y, found in names.items())


def _foot(reports: Sequence[Mapping[str, Any]]) -> str:
    """The protocol in short; several where words were judged by several."""
    lines = []
    for report in reports:
        protocol = report["protocol"]
        drawn, counts = protocol["drawn"], protocol["counts"]
        lines.append(
            f"{protocol['encoder']} · {protocol['model']} · {counts['plain']} + "
            f"{counts['scene']} x {len(protocol['prompts']['scenes'])} pictures · "
            f"{drawn['steps']} steps of {drawn['sampler']}, guidance {drawn['guidance']:g} · "
            f"protocol {protocol['id']}"
        )
    return " | ".join(dict.fromkeys(lines))
