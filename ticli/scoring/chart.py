"""The trade-off of likeness against obedience as a chart: laid out once, written as PNG or SVG."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from PIL import Image, ImageDraw, ImageFont

from ticli.errors import Usage

WIDTH, HEIGHT = 860, 560
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 60, 64
FONT, SMALL = 13, 11
LETTER = 0.56  # mean width of a letter of a sans-serif face, in ems
RADIUS = 6
INK, GREY, PALE = "#1c1c1c", "#6b6b6b", "#dcdcdc"
# Okabe and Ito's colours, which colour-blind people can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
FOOT_LETTERS, FOOT_LINE, FOOT_ROOM = 130, 13, 2  # letters a line, pixels a line, lines with room
SHARPNESS = 2  # PNG pixels for each of the chart's
SUFFIXES = (".png", ".svg")


@dataclass(frozen=True)
class Point:
    """A dot at (obedience, likeness); `start`, where given, is its class word's place."""

    label: str
    x: float
    y: float
    start: tuple[float, float] | None = None


@dataclass(frozen=True)
class Level:
    """A dashed line across the chart, such as photos among themselves."""

    label: str
    y: float


@dataclass(frozen=True)
class Chart:
    """What is drawn: points, levels, and the words at its edges.

    `foot` is the protocol, a paragraph a line; a long one makes the chart taller.
    """

    title: str
    x_label: str
    y_label: str
    points: tuple[Point, ...]
    levels: tuple[Level, ...] = ()
    foot: str = ""


@dataclass(frozen=True)
class Line:
    """A straight line between two places, in chart pixels."""

    ends: tuple[float, float, float, float]
    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Dot:
    """A disc, or a ring where `hollow`."""

    x: float
    y: float
    colour: str
    hollow: bool = False


@dataclass(frozen=True)
class Text:
    """Words whose `anchor` ("start", "middle" or "end") stands at x, their middle line at y."""

    x: float
    y: float
    words: str
    colour: str = INK
    size: int = FONT
    anchor: str = "start"


Mark = Line | Dot | Text


@dataclass(frozen=True)
class Axis:
    """One axis: the range it shows, its ticks, and the chart pixels of the range's ends."""

    low: float
    high: float
    ticks: tuple[float, ...]
    first: float
    last: float

    def at(self, value: float) -> float:
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)


def check_chart_file(path: Path) -> Path:
    """Return a path that a chart can be written to. Raises Usage for another suffix."""
    if path.suffix.lower() not in SUFFIXES:
        raise Usage(f"a plot cannot be written as {path.name!r}", "end its name in .png or .svg")
    return path


def write_chart(chart: Chart, suffix: str) -> bytes:
    """A chart as the bytes of a file of that suffix."""
    return _svg(chart).encode() if suffix.lower() == ".svg" else _png(chart)


def layout(chart: Chart) -> list[Mark]:
    """Place everything, back to front."""
    starts = [point.start for point in chart.points if point.start]
    across = [point.x for point in chart.points] + [start[0] for start in starts]
    heights = [point.y for point in chart.points] + [start[1] for start in starts]
    x = _axis([*across, 1.0], LEFT, WIDTH - RIGHT)
    y = _axis([*heights, *(level.y for level in chart.levels)], HEIGHT - BOTTOM, TOP)
    return [*_frame(chart, x, y), *_levels(chart, y), *_points(chart, x, y)]


def _axis(values: Sequence[float], first: float, last: float) -> Axis:
    """An axis around values with about six round ticks."""
    low, high = min(values), max(values)
    room = max(high - low, 0.1) * 0.08
    low, high = low - room, high + room
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    ticks = [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Axis(low, high, tuple(ticks), first, last)


def _frame(chart: Chart, x: Axis, y: Axis) -> Iterator[Mark]:
    for value in x.ticks:
        yield Line((x.at(value), y.first, x.at(value), y.last), PALE)
        yield Text(x.at(value), y.first + 14, f"{value:.3g}", GREY, SMALL, "middle")
    for value in y.ticks:
        yield Line((x.first, y.at(value), x.last, y.at(value)), PALE)
        yield Text(x.first - 8, y.at(value), f"{value:.3g}", GREY, SMALL, "end")
    yield Line((x.first, y.first, x.last, y.first), INK)
    yield Line((x.first, y.first, x.first, y.last), INK)
    yield Text(x.first, TOP - 40, chart.title, INK, FONT + 2)
    yield Text(x.first, TOP - 18, chart.y_label, GREY)
    yield Text(x.last, y.first + 32, chart.x_label, GREY, FONT, "end")
    for number, line in enumerate(_foot(chart)):
        yield Text(x.first, HEIGHT - 24 + FOOT_LINE * number, line, GREY, SMALL - 2)


def height_of(chart: Chart) -> int:
    """The chart's height in pixels, with room for all of its foot."""
    return HEIGHT + FOOT_LINE * max(0, len(_foot(chart)) - FOOT_ROOM)


def _foot(chart: Chart) -> list[str]:
    return [line for part in chart.foot.splitlines() for line in wrap(part, FOOT_LETTERS)]


def _levels(chart: Chart, y: Axis) -> Iterator[Mark]:
    for level in chart.levels:
        height = y.at(level.y)
        yield Line((LEFT, height, WIDTH - RIGHT, height), GREY, dashed=True)
        yield Text(LEFT + 8, height - 9, level.label, GREY, SMALL)


def _points(chart: Chart, x: Axis, y: Axis) -> Iterator[Mark]:
    coloured = [(p, COLOURS[n % len(COLOURS)]) for n, p in enumerate(chart.points)]
    for point, colour in coloured:
        if point.start:
            place = x.at(point.start[0]), y.at(point.start[1])
            yield Line((*place, x.at(point.x), y.at(point.y)), PALE)
            yield Dot(*place, colour, hollow=True)
    for point, colour in coloured:
        yield Dot(x.at(point.x), y.at(point.y), colour)
    # Labels keep clear of every dot, and of one another.
    rings = {(round(x.at(p.start[0])), round(y.at(p.start[1]))) for p in chart.points if p.start}
    dots = [(x.at(point.x), y.at(point.y)) for point in chart.points]
    taken = [(left - RADIUS, left + RADIUS, height) for left, height in (*dots, *rings)]
    for place in sorted(rings):
        yield _label("class word", GREY, place, taken)
    for point, colour in coloured:
        yield _label(point.label, colour, (x.at(point.x), y.at(point.y)), taken)


def _label(
    words: str, colour: str, dot: tuple[float, float], taken: list[tuple[float, float, float]]
) -> Text:
    """Put a label beside its dot, moved down past labels that are there already."""
    length = len(words) * FONT * LETTER
    right = dot[0] + RADIUS + 4
    left = right if right + length < WIDTH - 4 else dot[0] - RADIUS - 4 - length
    height = dot[1]
    while any(
        left < there[1] and there[0] < left + length and abs(height - there[2]) < FONT + 1
        for there in taken
    ):
        height += FONT + 2
    taken.append((left, left + length, height))
    return Text(left, height, words, colour)


def _png(chart: Chart) -> bytes:
    image = Image.new("RGB", (WIDTH * SHARPNESS, height_of(chart) * SHARPNESS), "white")
    pen = ImageDraw.Draw(image)
    for mark in layout(chart):
        if isinstance(mark, Line):
            _png_line(pen, mark)
        elif isinstance(mark, Dot):
            place = (mark.x * SHARPNESS, mark.y * SHARPNESS)
            fill = "white" if mark.hollow else mark.colour
            pen.circle(place, RADIUS * SHARPNESS, fill, mark.colour, 2 * SHARPNESS)
        else:
            font = ImageFont.load_default(mark.size * SHARPNESS)
            anchor = {"start": "lm", "middle": "mm", "end": "rm"}[mark.anchor]
            place = (mark.x * SHARPNESS, mark.y * SHARPNESS)
            pen.text(place, mark.words, mark.colour, font, anchor)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _png_line(pen: ImageDraw.ImageDraw, line: Line) -> None:
    x1, y1, x2, y2 = (end * SHARPNESS for end in line.ends)
    parts = round(math.hypot(x2 - x1, y2 - y1) / (6 * SHARPNESS)) if line.dashed else 1
    for part in range(0, max(parts, 1), 2):
        ends = [(x1 + (x2 - x1) * n / parts, y1 + (y2 - y1) * n / parts) for n in (part, part + 1)]
        pen.line(ends, line.colour, SHARPNESS)


def _svg(chart: Chart) -> str:
    marks = "\n".join(_svg_mark(mark) for mark in layout(chart))
    height = height_of(chart)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>\n{marks}\n</svg>\n'
    )


def _svg_mark(mark: Mark) -> str:
    if isinstance(mark, Line):
        x1, y1, x2, y2 = mark.ends
        dashes = ' stroke-dasharray="6 6"' if mark.dashed else ""
        return (
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{mark.colour}"{dashes}/>'
        )
    if isinstance(mark, Dot):
        fill = "white" if mark.hollow else mark.colour
        return (
            f'<circle cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="{RADIUS}" fill="{fill}" '
            f'stroke="{mark.colour}" stroke-width="2"/>'
        )
    return (
        f'<text x="{mark.x:.1f}" y="{mark.y:.1f}" font-size="{mark.size}" fill="{mark.colour}" '
        f"text-anchor={quoteattr(mark.anchor)} "
        f'dominant-baseline="central">{escape(mark.words)}</text>'
    )


# Several reports side by side.

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
        levels=_levels_of(shown),
        foot=_foot_of(shown),
    )


def _levels_of(reports: Sequence[Mapping[str, Any]]) -> tuple[Level, ...]:
    names: dict[float, list[str]] = {}
    for report in reports:
        if report["photos"]["image"] is not None:
            names.setdefault(report["photos"]["image"], []).append(report["name"])
    if len(names) > MOST_LEVELS:
        return ()
    if len(names) == 1:
        return tuple(Level("photos among themselves", height) for height in names)
    return tuple(Level(f"photos of {', '.join(found)}", y) for y, found in names.items())


def _foot_of(reports: Sequence[Mapping[str, Any]]) -> str:
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
