"""Files on their way in: all are read and checked before the first is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ticli.concept import BaseModel, Concept, Embedding
from ticli.errors import BadContent, Conflict, TiError
from ticli.library.describe import same_vectors
from ticli.library.formats.importing import choose_token, imported_concept, read_embedding
from ticli.library.library import Library


@dataclass(frozen=True)
class Source:
    """The bytes of one file, what to call it in messages, and the name without folder or suffix."""

    content: bytes
    origin: str
    stem: str


@dataclass(frozen=True)
class LearnedOn:
    """The model a user says a word was learned on, with its widths by encoder."""

    base: BaseModel
    widths: Mapping[str, int]


@dataclass(frozen=True)
class Incoming:
    """One word, ready to be stored, and what is odd about its file."""

    concept: Concept
    embedding: Embedding
    warnings: tuple[str, ...]


def read_incoming(
    source: Source, token: str | None, learned_on: LearnedOn | None, widths: Collection[int] = ()
) -> Incoming:
    """Read one file as a word. `token` and `learned_on` stand in place of what the file says.

    Raises BadContent, Usage (no name to be had) and Conflict (vectors of another width than the
    model named takes).
    """
    read = read_embedding(source.content, source.origin, widths)
    if learned_on is not None and dict(learned_on.widths) != read.embedding.widths:
        raise Conflict(
            f"{source.origin} has vectors of {_in_words(read.embedding.widths)}, and "
            f"{learned_on.base.id} takes {_in_words(learned_on.widths)}",
            "name the model it was learned on with --base",
        )
    word = choose_token(read, token, source.stem)
    base = learned_on.base if learned_on is not None else None
    return Incoming(imported_concept(read, word, base), read.embedding, read.warnings)


def store_all(library: Library, words: Sequence[Incoming], replace: bool) -> list[Concept]:
    """Store words. Raises Conflict, before the first, where a name is taken or stands twice.

    A failure on the way names the words already stored under `completed`.
    """
    counts = Counter(word.concept.name for word in words)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise Conflict(
            f"several files hold a word called {', '.join(map(repr, twice))}",
            "import them one by one, each with its own --token",
        )
    if not replace:
        _check_free(library, words)
    added: list[Concept] = []
    try:
        for word in words:
            added.append(library.add(word.concept, word.embedding, replace=replace))
    except TiError as error:
        error.details["completed"] = [concept.name for concept in added]
        raise
    return added


def _check_free(library: Library, words: Sequence[Incoming]) -> None:
    """Refuse a name that another word has; the very same vectors again are no clash."""
    for word in words:
        taken = library.find(word.concept.name)
        if taken is not None and not _holds(library, taken, word.embedding):
            raise Conflict(
                f"{taken.name!r} is in the library already",
                "give --replace, or another --token",
                name=taken.name,
            )


def _holds(library: Library, concept: Concept, embedding: Embedding) -> bool:
    try:
        return same_vectors(library.embedding(concept), embedding)
    except BadContent:
        return False


def _in_words(widths: Mapping[str, int]) -> str:
    return ", ".join(f"{width} ({encoder})" for encoder, width in widths.items())
