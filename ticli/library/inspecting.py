"""What a file is and what importing it would bring, without importing it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ticli.errors import BadContent, Usage
from ticli.library.describe import norms_of
from ticli.library.formats.importing import Contents, Imported, choose_token, imported_concept
from ticli.library.incoming import Source, Wanted, join_pairs, read_source


@dataclass(frozen=True)
class Word:
    """One word of a file: its name after an import, "" where one must be given, and its vectors."""

    read: Imported
    name: str

    def as_json(self) -> dict[str, Any]:
        """The word as a document."""
        token = choose_token(self.read, self.name or "unnamed")
        concept = imported_concept(self.read, token)
        return {
            "name": self.name,
            "stored_token": self.read.token,
            "key": self.read.key,
            "noun": concept.noun,
            "kind": concept.kind,
            "vectors": concept.vectors,
            "widths": dict(self.read.embedding.widths),
            "norms": norms_of(self.read.embedding),
            "base": concept.as_json()["base"],
            "steps": concept.steps,
            "notes": concept.notes,
        }


@dataclass(frozen=True)
class Inspection:
    """One file: what it is, its words, what an import would say of it.

    `container` and `layout` are "" where it could not be read; `problem` says why and `hint` what
    to do.
    """

    file: str
    size: int
    container: str = ""
    layout: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    words: tuple[Word, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""

    def as_json(self) -> dict[str, Any]:
        """The file as a document; keys are added, never renamed."""
        return {
            "file": self.file,
            "bytes": self.size,
            "container": self.container,
            "layout": self.layout,
            "metadata": dict(self.metadata),
            "words": [word.as_json() for word in self.words],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "problem": self.problem,
            "hint": self.hint,
        }


def inspect_sources(sources: Sequence[Source], wanted: Wanted) -> list[Inspection]:
    """Say what the files behind one name are; what is refused is described by its refusal."""
    read: list[Contents] = []
    refused: list[Inspection] = []
    sizes = {source.file.origin: source.file.size for source in sources}
    for source in sources:
        try:
            read.append(read_source(source, wanted))
        except BadContent as error:
            refused.append(_refused(source.file.origin, source.file.size, error))
    with contextlib.suppress(BadContent):
        # Two files that do not belong together are each described as they are.
        read = join_pairs(read)
    return [*(_described(contents, sizes) for contents in read), *refused]


def refused_name(file: str, error: BadContent) -> Inspection:
    """Describe a file that could not even be opened."""
    return _refused(file, 0, error)


def _refused(file: str, size: int, error: BadContent) -> Inspection:
    return Inspection(file, size, problem=error.message, hint=error.hint)


def _described(contents: Contents, sizes: dict[str, int]) -> Inspection:
    words = tuple(Word(word, _name(word)) for word in contents.words)
    warnings = tuple(dict.fromkeys(text for word in contents.words for text in word.warnings))
    size = sum(sizes.get(origin, 0) for origin in contents.origin.split(" + "))
    inspection = Inspection(
        contents.origin,
        size,
        contents.container,
        contents.layout,
        tuple(contents.metadata.items()),
        words,
        contents.notes,
        warnings,
    )
    problem, hint = next(_problems(words), ("", ""))
    return replace(inspection, problem=problem, hint=hint)


def _problems(words: Sequence[Word]) -> Iterator[tuple[str, str]]:
    """What an import would ask for."""
    if any(not word.name for word in words):
        yield "the file does not say what its word is called", 'import it with --token "<name>"'
    if len(words) > 1:
        yield f"it holds {len(words)} words", "import one with --token, or all with --all"


def _name(word: Imported) -> str:
    try:
        return choose_token(word, None, word.stem).name
    except Usage:
        return ""
