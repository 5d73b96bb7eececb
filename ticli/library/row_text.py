"""The JSON object of a row, put together from its columns without building what they stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import Any

from ticli.concept import Concept, Losses
from ticli.json_text import json_text
from ticli.library.registry import BASE, COLUMNS, DOCUMENTS, PLAIN, concept_from_row
from ticli.outcome import Curves, Outcome

NUMBERS = ("vectors", "seed", "steps", "seconds", "bytes")
TEXTS = (*(key for key in PLAIN if key not in NUMBERS), *(f"base_{part}" for part in BASE))
LISTS = ("photos", "parents", "tags", "warnings", "scores")
WHOLE = ("vectors", "steps", "bytes")
# SQLite looks at them much faster than they are parsed; a row it does not like is looked at here.
VALID = " AND ".join(f"json_valid(concepts.{column})" for column in DOCUMENTS)
RECORDS: dict[str, Losses | Outcome | Curves] = {
    "losses": Losses(),
    "outcome": Outcome(),
    "curves": Curves(),
}
# What an empty object stands for in a column that is younger than its row.
EMPTY = {column: json_text(asdict(record)) for column, record in RECORDS.items()}
MARKS = {
    column: [f'"{part.name}": ' for part in fields(record)] for column, record in RECORDS.items()
}


def _shape() -> str:
    """The object with a %(column)s for every value, keys in the order of Concept."""
    base = ", ".join(f'"{part}": %(base_{part})s' for part in BASE)
    pairs = [
        f'"base": {{{base}}}' if key == "base" else f'"{key}": %({key})s'
        for key in (part.name for part in fields(Concept))
    ]
    return f"{{{', '.join(pairs)}}}"


SHAPE = _shape()


def document_text(row: Sequence[Any], valid: bool, blobs: Path) -> str:
    """Return the JSON object of a row of COLUMNS, as `Concept.as_json` has it, in ASCII.

    `valid` is what VALID says of the row. Raises BadContent where the row is damaged.
    """
    values = dict(zip(COLUMNS, row, strict=True))
    if not valid or not all(_is_plain(column, values) for column in DOCUMENTS):
        return json_text(concept_from_row(row, blobs).as_json())
    try:
        sha256 = values["sha256"]
        values["path"] = f"{blobs}/{sha256[:2]}/{sha256}.safetensors"
        for column in (*TEXTS, "path"):
            values[column] = quoted(values[column])
        for column in WHOLE:
            values[column] = int.__repr__(values[column])
        values["seed"] = "null" if values["seed"] is None else int.__repr__(values["seed"])
        seconds = values["seconds"]
        values["seconds"] = float.__repr__(seconds) if math.isfinite(seconds) else "null"
    except TypeError:
        return json_text(concept_from_row(row, blobs).as_json())
    return SHAPE % values


def _is_plain(column: str, values: dict[str, Any]) -> bool:
    """Whether the column's text can stand in the object as it is; "{}" is filled in."""
    text: str = values[column]
    if not text.startswith("[" if column in LISTS else "{"):
        return False
    if column in RECORDS:
        if text == "{}":
            values[column] = EMPTY[column]
            return True
        return text.isascii() and all(mark in text for mark in MARKS[column])
    return text.isascii()
