"""Files as `ti inspect` shows them: a page at a terminal, a row a word in a pipe, JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ticli.terminal.output import Output, is_terminal
from ticli.terminal.quantities import byte_text
from ticli.terminal.tables import Column

if TYPE_CHECKING:
    from ticli.library.inspecting import Inspection, Word

COLUMNS = (
    Column("NAME"),
    Column("FILE"),
    Column("CONTAINER"),
    Column("LAYOUT"),
    Column("TOKEN"),
    Column("ENCODERS"),
    Column("VECTORS", right=True),
    Column("NORM", right=True),
    Column("BASE"),
    Column("PROBLEM"),
)
# Longer values are pictures and rows; --json has them whole.
LONGEST_VALUE = 200


def show_inspections(output: Output, inspections: Sequence[Inspection]) -> None:
    """Write what files are. With --quiet only the names that an import would give."""
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
        output.table(COLUMNS, [row for inspection in inspections for row in _rows(inspection)])
    for inspection in inspections:
        for note in inspection.notes:
            output.note(note)
        for warning in inspection.warnings:
            output.warn(warning)


def _rows(found: Inspection) -> list[tuple[str, ...]]:
    """A row a word, and one for a file that holds none."""
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
            ("word", word.name or "(has no name)"),
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
    from ticli.library.describe import norms_of

    norms = [norm for some in norms_of(word.read.embedding).values() for norm in some]
    low, high = f"{min(norms):.3g}", f"{max(norms):.3g}"
    return low if low == high else f"{low} to {high}"


def _base(word: Word) -> str:
    base = word.read.base
    return " ".join(part for part in (base.id, base.revision[:8]) if part) or base.family
