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
    """The whole protocol, a line of text each where words were judged by several."""
    lines = []
    for report in reports:
        protocol = report["protocol"]
        drawn, counts, prompts = protocol["drawn"], protocol["counts"], protocol["prompts"]
        first, scene = protocol["seeds"]
        lines.append(
            f"protocol {protocol['id']}: encoder {protocol['encoder']} · {protocol['model']}, "
            f"{drawn['steps']} steps of {drawn['sampler']}, guidance {drawn['guidance']:g}, "
            f"{drawn['width']}x{drawn['height']} · {counts['plain']} of {prompts['plain']!r} from "
            f"seed {first} · {counts['scene']} each from seed {scene} + number of: "
            f"{'; '.join(prompts['scenes'])} · {protocol['placeholder']}"
        )
    return "\n".join(dict.fromkeys(lines))
