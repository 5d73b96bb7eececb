"""Concepts as people and programs see them: rows of a list, the page of one, what was added."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ticli.concept import Concept
from ticli.terminal.output import Output, is_terminal
from ticli.terminal.quantities import age, byte_text
from ticli.terminal.tables import Column

COLUMNS = (
    Column("NAME"),
    Column("TOKEN"),
    Column("BASE"),
    Column("VECTORS", right=True),
    Column("STEPS", right=True),
    Column("TAGS"),
    Column("CREATED"),
)


def show_concepts(output: Output, concepts: Sequence[Concept]) -> None:
    """Write concepts as a table, tab-separated, names only, or a JSON array."""
    if output.json:
        output.document([concept.as_json() for concept in concepts])
        return
    for_people = is_terminal(sys.stdout)
    output.table(COLUMNS, [_row(concept, for_people) for concept in concepts])


def show_concept(output: Output, concept: Concept) -> None:
    """Write all that is known of one concept."""
    if output.json:
        output.document(concept.as_json())
    elif output.quiet:
        output.line(concept.name)
    else:
        document = concept.as_json()
        known = [(key, _words(value)) for key, value in document.items()]
        if is_terminal(sys.stdout):
            known = [(key, _for_people(key, text)) for key, text in known if text]
        output.pairs(known)


def show_added(output: Output, concept: Concept) -> None:
    """Answer for a concept that was just stored: its name, or its whole JSON object."""
    if output.json:
        output.document(concept.as_json())
    else:
        output.line(concept.name)


def _row(concept: Concept, for_people: bool) -> tuple[str, ...]:
    base = " ".join(part for part in (concept.base.id, concept.base.revision[:8]) if part)
    return (
        concept.name,
        concept.token,
        base or concept.base.family,
        str(concept.vectors),
        str(concept.steps),
        ",".join(concept.tags),
        age(concept.created) if for_people else concept.created,
    )


def _words(value: Any) -> str:
    """One line for a value of the JSON object; "" where nothing is known."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        parts = [(key, _words(item)) for key, item in value.items()]
        return ", ".join(f"{key} {text}" for key, text in parts if text)
    if isinstance(value, list | tuple):
        return "; ".join(_words(item) for item in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value)


def _for_people(key: str, text: str) -> str:
    if key in ("created", "used"):
        return f"{text} ({age(text)})"
    return byte_text(int(text)) if key == "bytes" else text
