"""Scores as people and programs see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ticli.terminal.output import Output, columns

if TYPE_CHECKING:
    from ticli.scoring.score_plan import ScoreSubject


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
COLUMNS = columns(
    "NAME", "OF", *(f">{heading}" for heading, _ in NUMBERS), ">NORM", "NEAREST", "ENCODER"
)
PLANNED_COLUMNS = columns("NAME", "TRIGGER", "CLASS WORD", ">PHOTOS", "MODEL", "ENCODER")


def show_scores(output: Output, reports: Sequence[Mapping[str, Any]]) -> None:
    """Write the reports: each concept's figures above those of its class word and its photos.

    The JSON holds the whole protocol; people read it on stderr.
    """
    if output.json:
        output.document(list(reports))
        return
    if output.quiet:
        output.lines(dict.fromkeys(report["name"] for report in reports))
        return
    output.table(COLUMNS, [row for report in reports for row in _rows(report)])


def say_plan(output: Output, subjects: Sequence[ScoreSubject]) -> None:
    """Say on stderr what may surprise the user, and each protocol once."""
    for text in dict.fromkeys(note for subject in subjects for note in subject.notes):
        output.note(text)
    for path, reason in dict.fromkeys(bad for s in subjects for bad in s.photos.rejected):
        output.warn(f"left out {path.name}: {reason}")
    for text in dict.fromkeys(text for subject in subjects for text in subject.warnings):
        output.warn(text)
    lines = (protocol.describe() for subject in subjects for protocol in subject.protocols)
    for line in dict.fromkeys(lines):
        output.note(line)


def show_planned(output: Output, subjects: Sequence[ScoreSubject]) -> None:
    """Write what would be scored, by which protocol and with which photos."""
    if output.json:
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
        output.document({"dry_run": True, "subjects": planned})
        return
    rows = [
        (s.label, s.trigger, s.class_word, str(len(s.photos.photos)), by.model, by.encoder)
        for s in subjects
        for by in s.protocols
    ]
    output.table(PLANNED_COLUMNS, rows)


def score_line(report: Mapping[str, Any]) -> str:
    """One stored report as a line: its figures beside their references."""
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
        parts.append("flattered: this encoder gave the concept its warm start")
    protocol = report["protocol"]
    counts, scenes = protocol["counts"], len(protocol["prompts"]["scenes"])
    drawn = f"{counts['plain']} + {counts['scene']} x {scenes} pictures"
    by = f"by {protocol['encoder']}, {drawn}, protocol {protocol['id']}"
    return f"{', '.join(parts)}, {by}, {report['created']}"


def _rows(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    name, encoder = report["name"], report["protocol"]["encoder"]
    photos = report["photos"]
    places = [place for found in report["places"].values() for place in found]
    # Each vector's norm over the vocabulary's median, and the words nearest to it.
    norms = " ".join(f"{place['ratio']:.2f}x" for place in places)
    near = "; ".join(" ".join(word["word"] for word in place["nearest"]) for place in places)
    sides = (
        (report["token"], {**report["word"], "way": report["way"]}, norms, near),
        (report["class_word"], report["class"], "", ""),
        (f"{photos['count']} photos", photos, "", ""),
    )
    return [
        (name, of, *(_number(figures.get(key)) for _, key in NUMBERS), *rest, encoder)
        for of, figures, *rest in sides
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
