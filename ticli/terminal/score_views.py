"""Scores as people and programs see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ticli.terminal.output import Column, Output

if TYPE_CHECKING:
    from ticli.scoring.score_plan import Subject


NUMBERS = (
    ("IMAGE", "image"),
    ("WAY", "way"),
    ("IN SCENES", "image_in_scenes"),
    ("COPIED", "copied"),
    ("OBEDIENCE", "obedience"),
    ("BARE", "obedience_bare"),
    ("ACCURACY", "scene_accuracy"),
    ("TEXT", "text"),
)
COLUMNS = (
    Column("NAME"),
    Column("OF"),
    *(Column(heading, right=True) for heading, _ in NUMBERS),
    Column("NORM", right=True),
    Column("NEAREST"),
    Column("ENCODER"),
)
PLANNED_COLUMNS = (
    Column("NAME"),
    Column("TRIGGER"),
    Column("CLASS WORD"),
    Column("PHOTOS", right=True),
    Column("MODEL"),
    Column("ENCODER"),
)
SUBJECT_COLUMNS = (
    Column("NAME"),
    Column("ENCODER"),
    Column("IMAGE", right=True),
    Column("REAL", right=True),
    Column("TEXT", right=True),
)


def show_scores(output: Output, reports: Sequence[Mapping[str, Any]]) -> None:
    """Write reports: each word's figures above those of its class word and its photos.

    The protocol is said on stderr, and stands whole in the JSON.
    """
    if output.json:
        output.document(list(reports))
        return
    if output.quiet:
        output.lines(list(dict.fromkeys(report["name"] for report in reports)))
        return
    output.table(COLUMNS, [row for report in reports for row in _rows(report)])


def show_subjects(
    output: Output,
    results: Sequence[Mapping[str, Any]],
    means: Mapping[str, Mapping[str, Any]],
    protocols: Sequence[Mapping[str, Any]],
) -> None:
    """Write what each subject of a benchmark scored, and the means."""
    if output.json:
        output.document({"subjects": list(results), "mean": means, "protocols": list(protocols)})
        return
    rows = [
        (result["name"], encoder, *_figures(figures))
        for result in results
        for encoder, figures in result["figures"].items()
    ]
    rows += [("MEAN", encoder, *_figures(figures)) for encoder, figures in means.items()]
    output.table(SUBJECT_COLUMNS, rows)


def show_planned(output: Output, subjects: Sequence[Subject]) -> None:
    """Write what would be judged, by which protocol and beside which photos."""
    planned = [
        {
            "name": subject.label,
            "token": subject.concept.token,
            "trigger": subject.trigger,
            "class_word": subject.class_word,
            "photos": [photo.file for photo in subject.photos.photos],
            "protocols": [protocol.as_json() for protocol in subject.protocols],
        }
        for subject in subjects
    ]
    if output.json:
        output.document({"dry_run": True, "subjects": planned})
        return
    rows = [
        (
            subject.label,
            subject.trigger,
            subject.class_word,
            str(len(subject.photos.photos)),
            protocol.model,
            protocol.encoder,
        )
        for subject in subjects
        for protocol in subject.protocols
    ]
    output.table(PLANNED_COLUMNS, rows)


def score_line(report: Mapping[str, Any]) -> str:
    """One stored report in a line: its figures beside their references."""
    word, start, photos = report["word"], report["class"], report["photos"]
    parts = [
        f"image {_number(word['image'])} (class word {_number(start['image'])}, "
        f"photos {_number(photos['image'])})"
    ]
    if word["obedience"] is not None:
        parts.append(f"obedience {_number(word['obedience'])}")
    if word["scene_accuracy"] is not None:
        accuracy, goal = word["scene_accuracy"], start["scene_accuracy"]
        parts.append(f"scenes {_number(accuracy)} of {_number(goal)}")
    if report.get("warmed_by_encoder"):
        parts.append("flattered: this encoder warmed the word up")
    protocol = report["protocol"]
    counts, scenes = protocol["counts"], len(protocol["prompts"]["scenes"])
    drawn = f"{counts['plain']} + {counts['scene']} x {scenes} pictures"
    by = f"by {protocol['encoder']}, {drawn}, protocol {protocol['id']}"
    return f"{', '.join(parts)}, {by}, {report['created']}"


def _rows(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    name, encoder = report["name"], report["protocol"]["encoder"]
    photos = report["photos"]
    real = {"image": photos["image"], "copied": photos["copied"]}
    word = {**report["word"], "way": report["way"]}
    sides = (
        (report["token"], word, _norm(report), _nearest(report)),
        (report["class_word"], report["class"], "", ""),
        (f"{photos['count']} photos", real, "", ""),
    )
    return [
        (name, of, *(_number(figures.get(key)) for _, key in NUMBERS), norm, near, encoder)
        for of, figures, norm, near in sides
    ]


def _norm(report: Mapping[str, Any]) -> str:
    """Norms over the vocabulary's median, one a vector."""
    return " ".join(
        f"{place['ratio']:.2f}x" for places in report["places"].values() for place in places
    )


def _nearest(report: Mapping[str, Any]) -> str:
    """The words nearest to each vector."""
    return "; ".join(
        " ".join(near["word"] for near in place["nearest"])
        for places in report["places"].values()
        for place in places
    )


def _figures(figures: Mapping[str, Any]) -> tuple[str, str, str]:
    return _number(figures["image"]), _number(figures["real"]), _number(figures["text"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
