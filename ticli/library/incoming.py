"""Files on their way in: all are read and checked before the first word is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ticli.concept import BaseModel, Concept, Embedding
from ticli.errors import Conflict, Usage
from ticli.library.formats.importing import (
    PAIR,
    Contents,
    Imported,
    choose_token,
    imported_concept,
    join_words,
    read_words,
)
from ticli.library.formats.reading.encoders import Widths
from ticli.library.formats.reading.opened import Opened
from ticli.library.library import Library
from ticli.names import lookup_name


@dataclass(frozen=True)
class Source:
    """An opened file, and the name it suggests: without folder and suffix, or "" for a pipe.

    `kind` is "style" or "object" where something beside the file says so.
    """

    file: Opened
    stem: str
    kind: str = ""


@dataclass(frozen=True)
class LearnedOn:
    """The model a user says a word was learned on, with its widths by encoder."""

    base: BaseModel
    widths: Mapping[str, int]


@dataclass(frozen=True)
class Wanted:
    """What a user said: `token` names or picks the word, `everything` takes all words of a file.

    `usable` lists the widths of the models on this machine.
    """

    token: str | None = None
    everything: bool = False
    learned_on: LearnedOn | None = None
    usable: Callable[[], Collection[int]] = field(default=tuple)


@dataclass(frozen=True)
class Incoming:
    """One word, ready to be stored, and what is odd about its file."""

    concept: Concept
    embedding: Embedding
    warnings: tuple[str, ...]


def read_source(source: Source, wanted: Wanted) -> Contents:
    """Read one file; every word of it knows the name its file suggests. Raises BadContent."""
    said = wanted.learned_on.widths if wanted.learned_on is not None else {}
    contents = read_words(source.file, Widths(said, wanted.usable))
    words = tuple(
        replace(word, stem=word.stem or source.stem, kind=source.kind or word.kind)
        for word in contents.words
    )
    return replace(contents, words=words)


def join_pairs(files: Sequence[Contents]) -> list[Contents]:
    """Put together the files that diffusers writes for the encoders of one word.

    They have the same key and no encoder in common. Raises BadContent where they differ in their
    numbers of vectors.
    """
    joined: list[Contents] = []
    places: dict[str, int] = {}
    for contents in files:
        key = contents.words[0].key if len(contents.words) == 1 else ""
        if key and key in places:
            other = joined[places[key]]
            words = join_words([replace(w, stem="") for w in (*other.words, *contents.words)])
            if len(words) == 1:
                joined[places[key]] = replace(
                    other,
                    origin=f"{other.origin} + {contents.origin}",
                    layout=PAIR,
                    words=(replace(words[0], stem=other.words[0].stem),),
                    notes=(*other.notes, *contents.notes),
                )
                continue
        elif key:
            places[key] = len(joined)
        joined.append(contents)
    return joined


def choose_words(contents: Contents, wanted: Wanted) -> list[Incoming]:
    """Choose the words of a file and name them.

    Raises Usage where one of several has to be named, or none has a name, and Conflict where
    vectors have another width than the model named takes.
    """
    words, given = list(contents.words), wanted.token
    if len(words) > 1 and not wanted.everything:
        names = [choose_token(word, None, word.stem).text for word in words]
        chosen = [
            word
            for word, name in zip(words, names, strict=True)
            if given is not None and lookup_name(name) == lookup_name(given)
        ]
        if len(chosen) != 1:
            shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
            raise Usage(
                f"{contents.origin} holds {len(words)} words: {shown}",
                "take one with --token, or all with --all",
                tokens=names,
            )
        # The file's own way of writing it stays.
        words, given = chosen, None
    return [_incoming(word, given, wanted.learned_on, contents.origin) for word in words]


def store_all(library: Library, words: Sequence[Incoming], replace: bool) -> list[Concept]:
    """Store words, all or none. Raises Conflict where a name is taken or stands twice."""
    counts = Counter(word.concept.name for word in words)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise Conflict(
            f"several files hold a word called {', '.join(map(repr, twice))}",
            "import them one by one, each with its own --token",
        )
    return library.add_all([(word.concept, word.embedding) for word in words], replace=replace)


def _incoming(
    word: Imported, given: str | None, learned_on: LearnedOn | None, origin: str
) -> Incoming:
    if learned_on is not None and dict(learned_on.widths) != word.embedding.widths:
        raise Conflict(
            f"{origin} has vectors of {_in_words(word.embedding.widths)}, and "
            f"{learned_on.base.id} takes {_in_words(learned_on.widths)}",
            "name the model it was learned on with --base",
        )
    token = choose_token(word, given, word.stem)
    base = learned_on.base if learned_on is not None else None
    return Incoming(imported_concept(word, token, base), word.embedding, word.warnings)


def _in_words(widths: Mapping[str, int]) -> str:
    return ", ".join(f"{width} ({encoder})" for encoder, width in widths.items())
