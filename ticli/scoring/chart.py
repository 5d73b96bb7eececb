"""The trade-off of likeness against obedience as a chart: laid out, then drawn as a PNG."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 860, 560
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 60, 64
FONT, SMALL = 13, 11
LETTER = 0.56  # mean width of a letter of a sans-serif face, in ems
RADIUS = 6
DASH = 6
INK, GREY, PALE = "#1c1c1c", "#6b6b6b", "#dcdcdc"
# Okabe and Ito's colours, which colour-blind people can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
FOOT_LETTERS, FOOT_LINE, FOOT_ROOM = 130, 13, 2  # letters a line, pixels a line, lines with room
SHARPNESS = 2  # PNG pixels for each of the chart's
# Photos of two sets rarely have one figure; up to so many lines are readable.
MOST_LEVELS = 4


@dataclass(frozen=True)
class Point:
    """A dot at (obedience, likeness); `start` is its class word's place, if there is one."""

    label: str
    x: float
    y: float
    start: tuple[float, float] | None = None


@dataclass(frozen=True)
class Chart:
    """Points, dashed lines across by their labels, and the words at the edges.

    `foot` is the protocol, a paragraph a line; a long one makes the chart taller.
    """

    title: str
    x_label: str
    y_label: str
    points: tuple[Point, ...]
    levels: Mapping[str, float] = field(default_factory=dict)
    foot: str = ""


@dataclass(frozen=True)
class Line:
    """A straight line from (x1, y1) to (x2, y2), in chart pixels."""

    ends: tuple[float, float, float, float]
    colour: str


@dataclass(frozen=True)
class Dot:
    """A disc, or a ring if `hollow`."""

    x: float
    y: float
    colour: str
    hollow: bool = False


@dataclass(frozen=True)
class Label:
    """Words at (x, y), their middle line at y; `anchor` is Pillow's: "lm", "mm" or "rm"."""

    x: float
    y: float
    words: str
    colour: str = INK
    size: int = FONT
    anchor: str = "lm"


Mark = Line | Dot | Label


class Axis:
    """Values along one side of the chart, with about six round ticks."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        """Fit the values between two chart pixels, with some room around them."""
        low, high = min(values), max(values)
        room = max(high - low, 0.1) * 0.08
        self.low, self.high = low - room, high + room
        self.first, self.last = first, last
        rough = (self.high - self.low) / 6
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        numbers = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        self.ticks = [number * step for number in numbers]

    def at(self, value: float) -> float:
        """The chart pixel of a value."""
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)


def layout(chart: Chart) -> list[Mark]:
    """Place everything, back to front."""
    starts = [point.start for point in chart.points if point.start]
    across = [*(point.x for point in chart.points), *(start[0] for start in starts), 1.0]
    heights = [*(point.y for point in chart.points), *(start[1] for start in starts)]
    x = Axis(across, LEFT, WIDTH - RIGHT)
    y = Axis([*heights, *chart.levels.values()], HEIGHT - BOTTOM, TOP)
    return [*_frame(chart, x, y), *_points(chart, x, y)]


def _frame(chart: Chart, x: Axis, y: Axis) -> Iterator[Mark]:
    for value in x.ticks:
        yield Line((x.at(value), y.first, x.at(value), y.last), PALE)
        yield Label(x.at(value), y.first + 14, f"{value:.3g}", GREY, SMALL, "mm")
    for value in y.ticks:
        yield Line((x.first, y.at(value), x.last, y.at(value)), PALE)
        yield Label(x.first - 8, y.at(value), f"{value:.3g}", GREY, SMALL, "rm")
    yield Line((x.first, y.first, x.last, y.first), INK)
    yield Line((x.first, y.first, x.first, y.last), INK)
    yield Label(x.first, TOP - 40, chart.title, INK, FONT + 2)
    yield Label(x.first, TOP - 18, chart.y_label, GREY)
    yield Label(x.last, y.first + 32, chart.x_label, GREY, FONT, "rm")
    for number, line in enumerate(_foot(chart)):
        yield Label(x.first, HEIGHT - 24 + FOOT_LINE * number, line, GREY, SMALL - 2)
    for label, value in chart.levels.items():
        for left in range(LEFT, WIDTH - RIGHT, 2 * DASH):
            yield Line((left, y.at(value), left + DASH, y.at(value)), GREY)
        yield Label(LEFT + 8, y.at(value) - 9, label, GREY, SMALL)


def _points(chart: Chart, x: Axis, y: Axis) -> Iterator[Mark]:
    dots = [(x.at(point.x), y.at(point.y)) for point in chart.points]
    coloured = list(zip(chart.points, dots, itertools.cycle(COLOURS), strict=False))
    rings = set()
    for point, dot, colour in coloured:
        if point.start:
            place = x.at(point.start[0]), y.at(point.start[1])
            rings.add((round(place[0]), round(place[1])))
            yield Line((*place, *dot), PALE)
            yield Dot(*place, colour, hollow=True)
    for _, dot, colour in coloured:
        yield Dot(*dot, colour)
    # Labels keep clear of every dot, and of one another.
    taken = [(left - RADIUS, left + RADIUS, height) for left, height in (*dots, *rings)]
    for place in sorted(rings):
        yield _label("class word", GREY, place, taken)
    for point, dot, colour in coloured:
        yield _label(point.label, colour, dot, taken)


def _label(
    words: str, colour: str, dot: tuple[float, float], taken: list[tuple[float, float, float]]
) -> Label:
    """Put a label beside its dot, below any label that is there already."""
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
    return Label(left, height, words, colour)


def _foot(chart: Chart) -> list[str]:
    return [line for part in chart.foot.splitlines() for line in wrap(part, FOOT_LETTERS)]


def height_of(chart: Chart) -> int:
    """The chart's height in pixels, with room for all of its foot."""
    return HEIGHT + FOOT_LINE * max(0, len(_foot(chart)) - FOOT_ROOM)


def write_chart(chart: Chart) -> bytes:
    """A chart as the bytes of a PNG file."""
    image = Image.new("RGB", (WIDTH * SHARPNESS, height_of(chart) * SHARPNESS), "white")
    pen = ImageDraw.Draw(image)
    for mark in layout(chart):
        if isinstance(mark, Line):
            pen.line([end * SHARPNESS for end in mark.ends], mark.colour, SHARPNESS)
            continue
        place = (mark.x * SHARPNESS, mark.y * SHARPNESS)
        if isinstance(mark, Dot):
            fill = "white" if mark.hollow else mark.colour
            pen.circle(place, RADIUS * SHARPNESS, fill, mark.colour, 2 * SHARPNESS)
        else:
            font = ImageFont.load_default(mark.size * SHARPNESS)
            pen.text(place, mark.words, mark.colour, font, mark.anchor)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def chart_of(reports: Sequence[Mapping[str, Any]]) -> Chart:
    """The trade-off chart of reports, by the first encoder that compares with sentences."""
    read = [report for report in reports if report["word"]["obedience"] is not None]
    encoder = read[0]["protocol"]["encoder"] if read else ""
    shown = [report for report in read if report["protocol"]["encoder"] == encoder]
    points = [
        Point(r["name"], r["word"]["obedience"], r["word"]["image"], (1.0, r["class"]["image"]))
        for r in shown
    ]
    return Chart(
        title="Likeness against obedience",
        x_label="text obedience (class word: 1)",
        y_label="image similarity",
        points=tuple(points),
        levels=_levels_of(shown),
        foot="\n".join(dict.fromkeys(_in_words(report["protocol"]) for report in shown)),
    )


def _levels_of(reports: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    names: dict[float, list[str]] = {}
    for report in reports:
        if report["photos"]["image"] is not None:
            names.setdefault(report["photos"]["image"], []).append(report["name"])
    if len(names) > MOST_LEVELS:
        return {}
    if len(names) == 1:
        return {"photos among themselves": next(iter(names))}
    return {f"photos of {', '.join(found)}": height for height, found in names.items()}


def _in_words(protocol: Mapping[str, Any]) -> str:
    """The whole protocol as a paragraph."""
    drawn, counts, prompts = protocol["drawn"], protocol["counts"], protocol["prompts"]
    first, scene = protocol["seeds"]
    return (
        f"protocol {protocol['id']}: encoder {protocol['encoder']} · {protocol['model']}, "
        f"{drawn['steps']} steps of {drawn['sampler']}, guidance {drawn['guidance']:g}, "
        f"{drawn['width']}x{drawn['height']} · {counts['plain']} of {prompts['plain']!r} from "
        f"seed {first} · {counts['scene']} each from seed {scene} + number of: "
        f"{'; '.join(prompts['scenes'])} · {protocol['placeholder']}"
    )
