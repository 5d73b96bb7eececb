"""Concepts as people and programs see them: rows of a list, the page of one, what was added."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ticli.concept import Concept
from ticli.terminal.output import Output, is_terminal
from ticli.terminal.quantities import age, byte_text
from ticli.terminal.scored import score_line
from ticli.terminal.tables import Column

if TYPE_CHECKING:
    from ticli.library.library import Library
    from ticli.library.listing import Entry, Query

# About ten lines: more of one value would push the others off the screen.
LONGEST = 800
COLUMNS = (
    Column("NAME", whole=True),
    Column("TOKEN"),
    Column("BASE"),
    Column("VECTORS", right=True),
    Column("STEPS", right=True),
    Column("TAGS"),
    Column("CREATED"),
)


def show_concepts(output: Output, library: Library, query: Query) -> int:
    """Write the concepts that a query asks for, and return how many there are.

    They come as a table, tab-separated, names only, or as a JSON array. Raises Usage, BadContent.
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
    if output.json:
        output.document(concept.as_json())
    elif output.quiet:
        output.line(concept.name)
    else:
        document = concept.as_json()
        if is_terminal(sys.stdout):
            told = [(key, _for_people(key, value)) for key, value in document.items()]
            output.pairs([(key, _fitting(concept.name, key, text)) for key, text in told if text])
        else:
            output.pairs([(key, _text_of(key, value)) for key, value in document.items()])


def show_added(output: Output, concept: Concept) -> None:
    """Answer for a concept that was just stored: its name, or its whole JSON object."""
    if output.json:
        output.document(concept.as_json())
    else:
        output.line(concept.name)


def _row(entry: Entry, for_people: bool) -> tuple[str, ...]:
    base = " ".join(part for part in (entry.base, entry.revision[:8]) if part)
    return (
        entry.name,
        entry.token,
        base or entry.family,
        str(entry.vectors),
        str(entry.steps),
        ",".join(entry.tags),
        age(entry.created) if for_people else entry.created,
    )


def _text_of(key: str, value: Any) -> str:
    """One line for a field of the JSON object; of scores what stands in the JSON is too much."""
    if key == "scores":
        return "; ".join(score_line(report) for report in value)
    return _words(value)


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


def _for_people(key: str, value: Any) -> str:
    """What a person wants to know of a value; the whole of it is in the JSON object."""
    text = _text_of(key, value)
    if not text:
        return ""
    if key in ("created", "used"):
        return f"{text} ({age(text)})"
    if key == "photos":
        return "; ".join(photo["file"] for photo in value)
    if key == "curves":
        return f"{len(value['steps'])} evaluations" if value["steps"] else ""
    return byte_text(int(text)) if key == "bytes" else text


def _fitting(name: str, key: str, text: str) -> str:
    """Cut what would fill the screen, and say where the rest is."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}… ({len(text):,} characters: ti show {name} --field {key})"
