"""The chart: everything on the paper, nothing over anything else."""

from __future__ import annotations

import io

from PIL import Image

from ticli.scoring import Chart, Dot, Label, Point, chart, chart_of, layout, write_chart

CHART = Chart(
    "Title",
    "obedience",
    "likeness",
    tuple(Point(f"recipe <{n}> & more", 0.6 + n / 500, 0.4, (1.0, 0.1)) for n in range(5)),
    {"photos": 0.55},
    "a protocol " * 30,
)


def boxes(marks) -> list[tuple[float, float, float]]:
    named = [m for m in marks if isinstance(m, Label) and m.words.startswith("recipe")]
    return [(m.x, m.x + len(m.words) * m.size * chart.LETTER, m.y) for m in named]


def test_labels_of_near_points_do_not_lie_on_each_other() -> None:
    found = boxes(layout(CHART))
    assert len(found) == 5
    for one in found:
        for other in found:
            apart = abs(one[2] - other[2]) >= chart.FONT or one[1] < other[0] or other[1] < one[0]
            assert one is other or apart


def test_all_dots_lie_inside_the_frame() -> None:
    dots = [mark for mark in layout(CHART) if isinstance(mark, Dot)]
    assert len(dots) == 10
    assert sum(dot.hollow for dot in dots) == 5
    for dot in dots:
        assert chart.LEFT <= dot.x <= chart.WIDTH - chart.RIGHT
        assert chart.TOP <= dot.y <= chart.HEIGHT - chart.BOTTOM


def test_more_obedience_lies_right_and_more_likeness_higher() -> None:
    chart = Chart("", "", "", (Point("a", 0.2, 0.1), Point("b", 0.9, 0.5)))
    low, high = [mark for mark in layout(chart) if isinstance(mark, Dot)]
    assert low.x < high.x
    assert low.y > high.y


def test_the_png_opens_and_has_its_colours() -> None:
    image = Image.open(io.BytesIO(write_chart(CHART)))
    assert image.size == (chart.WIDTH * 2, chart.height_of(CHART) * 2)
    colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert tuple(bytes.fromhex(chart.COLOURS[0][1:])) in colours


def test_the_foot_is_whole_and_inside_the_picture() -> None:
    words = [f"word-{n}" for n in range(200)]
    footed = Chart("", "", "", CHART.points, {}, "first paragraph\n" + " ".join(words))
    foot = [m for m in layout(footed) if isinstance(m, Label) and m.size < chart.SMALL]
    assert foot[0].words == "first paragraph"
    assert " ".join(line.words for line in foot[1:]).split() == words
    for line in foot:
        assert line.x + len(line.words) * line.size * chart.LETTER < chart.WIDTH
    image = Image.open(io.BytesIO(write_chart(footed)))
    assert max(line.y for line in foot) < image.height / chart.SHARPNESS - chart.FOOT_LINE / 2
    assert chart.height_of(footed) == image.height / chart.SHARPNESS > chart.HEIGHT


def test_the_chart_says_what_its_points_are() -> None:
    texts = [mark.words for mark in layout(CHART) if isinstance(mark, Label)]
    assert "recipe <0> & more" in texts
    assert {"likeness", "obedience", "photos", "class word"} <= set(texts)


def test_one_point_alone_is_drawn() -> None:
    assert write_chart(Chart("", "", "", (Point("a", 1.0, 0.3),)))


def test_reports_become_points_by_the_first_encoder_that_reads() -> None:
    def report(name: str, encoder: str, obedience: float | None, photos: float | None) -> dict:
        protocol = {
            "id": "x", "encoder": encoder, "model": "m", "counts": {"plain": 2, "scene": 1},
            "prompts": {"plain": "a {}", "scenes": ["a {} here", "two {}s"]}, "seeds": [5, 6],
            "drawn": {
                "steps": 2, "sampler": "ddim", "guidance": 4.0, "width": 128, "height": 64,
            },
            "placeholder": "read as ever",
        }  # fmt: skip
        return {
            "name": name,
            "word": {"image": 0.4, "obedience": obedience},
            "class": {"image": 0.1},
            "photos": {"image": photos},
            "protocol": protocol,
        }

    reports = [
        report("mug", "dino", None, 0.6),
        report("mug", "clip", 0.7, 0.5),
        report("cup", "clip", 0.8, 0.4),
        report("bowl", "clip", 0.8, None),
    ]
    chart = chart_of(reports)
    assert [(p.label, p.x, p.start) for p in chart.points] == [
        ("mug", 0.7, (1.0, 0.1)),
        ("cup", 0.8, (1.0, 0.1)),
        ("bowl", 0.8, (1.0, 0.1)),
    ]
    assert list(chart.levels) == ["photos of mug", "photos of cup"]
    assert chart_of(reports[:1]).points == ()
    assert chart.foot == (
        "protocol x: encoder clip · m, 2 steps of ddim, guidance 4, 128x64 · 2 of 'a {}' from "
        "seed 5 · 1 each from seed 6 + number of: a {} here; two {}s · read as ever"
    )
