"""Show concepts: as a list, as a page, or as the answer to what was added."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ticli.concept import Concept
from ticli.terminal.output import Column, Output, columns, is_terminal
from ticli.terminal.safe_text import age, byte_text
from ticli.terminal.score_views import score_line

if TYPE_CHECKING:
    from ticli.library.importing import Inspection, Word
    from ticli.library.library import Library
    from ticli.library.query import ListedConcept, Query


# About ten lines: more of one value would push the others off the screen.
LONGEST = 800
COLUMNS = (
    Column("NAME", whole=True),
    *columns("TOKEN", "BASE", ">VECTORS", ">STEPS", "TAGS", "CREATED"),
)
FILE_COLUMNS = (
    *columns("NAME", "FILE", "CONTAINER", "LAYOUT", "TOKEN", "ENCODERS"),
    *columns(">VECTORS", ">NORM", "BASE", "PROBLEM"),
)
# Longer values are pictures and rows; --json shows them whole.
LONGEST_VALUE = 200


def show_concepts(output: Output, library: Library, query: Query) -> int:
    """Write the concepts of a query and return their number. Raises Usage and BadContent.

    They come as a table, tab-separated, as names only, or as a JSON array.
    """
    if output.json:
        documents = library.documents(query)
        output.documents(documents)
        return len(documents)
    if output.quiet:
        names = library.matching_names(query)
        output.lines(names)
        return len(names)
    entries = library.entries(query)
    for_people = is_terminal(sys.stdout)
    output.table(COLUMNS, [_row(entry, for_people) for entry in entries])
    return len(entries)


def show_concept(output: Output, concept: Concept) -> None:
    """Write all that is known of one concept."""
    document = concept.as_json()
    if output.json:
        output.document(document)
    elif output.quiet:
        output.line(concept.name)
    elif is_terminal(sys.stdout):
        pairs = [(key, _for_people(concept.name, key, value)) for key, value in document.items()]
        output.pairs([(key, text) for key, text in pairs if text])
    else:
        output.pairs([(key, _text_of(key, value)) for key, value in document.items()])


def _row(entry: ListedConcept, for_people: bool) -> tuple[str, ...]:
    return (
        entry.name,
        entry.token,
        _model(entry.base, entry.revision, entry.family),
        str(entry.vectors),
        str(entry.steps),
        ",".join(entry.tags),
        age(entry.created) if for_people else entry.created,
    )


def _model(id: str, revision: str, family: str) -> str:
    return " ".join(part for part in (id, revision[:8]) if part) or family


def _text_of(key: str, value: Any) -> str:
    """One line for a field of the JSON object; of scores only a summary."""
    if key == "scores":
        return "; ".join(score_line(report) for report in value)
    return _outcome(value) if key == "outcome" else _line_of(value)


def _outcome(found: Mapping[str, Any]) -> str:
    """How the run ended, in words; "" if it is not known."""
    why = {"settled": "settled", "steps": "took all its steps"}.get(found["stopped"], "")
    named = {
        "kept": "kept step",
        "held_out": "held-out loss",
        "held_out_init": "at first",
        "drift": "drift of the prompt's other words",
    }
    told = [f"{text} {found[key]:.4g}" for key, text in named.items() if found[key] is not None]
    return "; ".join([why, *told]) if why else ""


def _line_of(value: Any) -> str:
    """One line for a value of the JSON object; "" if nothing is known."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        parts = [(key, _line_of(item)) for key, item in value.items()]
        return ", ".join(f"{key} {text}" for key, text in parts if text)
    if isinstance(value, list | tuple):
        return "; ".join(_line_of(item) for item in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value)


def _for_people(name: str, key: str, value: Any) -> str:
    """What a person wants to know of a value; the whole of it is in the JSON object."""
    text = _text_of(key, value)
    if text and key in ("created", "used"):
        text = f"{text} ({age(text)})"
    elif text and key == "photos":
        text = "; ".join(photo["file"] for photo in value)
    elif text and key == "curves":
        text = f"{len(value['steps'])} evaluations" if value["steps"] else ""
    elif text and key == "bytes":
        text = byte_text(value) if value else ""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}… ({len(text):,} characters: ti show {name} --field {key})"
    return text


def show_inspections(output: Output, inspections: Sequence[Inspection]) -> None:
    """Describe files: a page for each at a terminal, a row for each concept in a pipe, or JSON.

    With --quiet, write only the names that an import would give.
    """
    if output.json:
        output.document([inspection.as_json() for inspection in inspections])
        return
    if output.quiet:
        output.lines([word.name for found in inspections for word in found.words if word.name])
        return
    if is_terminal(sys.stdout):
        for number, inspection in enumerate(inspections):
            if number:
                output.line("")
            output.pairs(_page(inspection, output.verbose))
    else:
        output.table(FILE_COLUMNS, [row for inspection in inspections for row in _rows(inspection)])
    for inspection in inspections:
        for note in inspection.notes:
            output.note(note)
        for warning in inspection.warnings:
            output.warn(warning)


def _rows(found: Inspection) -> list[tuple[str, ...]]:
    """A row for each concept, and one for a file without any."""
    place = (found.file, found.container, found.layout)
    if not found.words:
        return [("", *place, "", "", "", "", "", found.problem)]
    return [
        (
            word.name,
            *place,
            word.read.token or word.read.key,
            _encoders(word),
            str(word.read.embedding.vectors),
            _norms(word),
            _base(word),
            found.problem,
        )
        for word in found.words
    ]


def _page(found: Inspection, verbose: bool) -> list[tuple[str, str]]:
    """Named values for a person."""
    lines = [("file", found.file)]
    if found.size:
        lines.append(("bytes", byte_text(found.size)))
    if found.container:
        lines.append(("holds", f"{found.container}, layout {found.layout}"))
    for word in found.words:
        lines += [
            ("concept", word.name or "(has no name)"),
            ("  stored as", word.read.token or word.read.key or "-"),
            ("  vectors", f"{word.read.embedding.vectors} for {_encoders(word)}"),
            ("  norm", _norms(word)),
            ("  base", _base(word) or "unknown"),
        ]
    if verbose:
        lines += [(f"  {key}", value[:LONGEST_VALUE]) for key, value in found.metadata]
    elif found.metadata:
        lines.append(("metadata", ", ".join(key for key, _ in found.metadata)))
    if found.problem:
        lines.append(("problem", found.problem))
    if found.hint:
        lines.append(("what to do", found.hint))
    return lines


def _encoders(word: Word) -> str:
    return ", ".join(f"{name} {width}" for name, width in word.read.embedding.widths.items())


def _norms(word: Word) -> str:
    """The smallest and the largest norm of all vectors."""
    from ticli.library.record import norms_of

    norms = [norm for some in norms_of(word.read.embedding).values() for norm in some]
    low, high = f"{min(norms):.3g}", f"{max(norms):.3g}"
    return low if low == high else f"{low} to {high}"


def _base(word: Word) -> str:
    base = word.read.base
    return _model(base.id, base.revision, base.family)
