"""Files on their way in: all are read and checked before the first word is stored."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ticli.concept import BaseModel, Concept, Embedding
from ticli.errors import BadContent, Conflict, NotFound, Usage
from ticli.families import fits, model_in_words
from ticli.library.formats.containers import Opened, open_file, reported
from ticli.library.formats.embedding import (
    PAIR,
    Contents,
    Imported,
    choose_token,
    imported_concept,
    join_words,
    read_words,
)
from ticli.library.formats.read_layouts import Widths
from ticli.library.library import Library
from ticli.library.record import norms_of
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
    if learned_on is not None:
        family, widths = learned_on.base.family, word.embedding.widths
        if not fits("", widths, family, learned_on.widths):
            raise Conflict(
                f"{origin} is for {model_in_words('', widths)}, and {learned_on.base.id} is "
                f"{model_in_words(family, learned_on.widths)}",
                "name the model it was learned on with --base",
            )
    token = choose_token(word, given, word.stem)
    base = learned_on.base if learned_on is not None else None
    return Incoming(imported_concept(word, token, base), word.embedding, word.warnings)


# From what a user names to files that are open: a file, a concept's folder, a pipe.

# What diffusers calls its files; further encoders, as those of SDXL and SD3, have their own.
WORD_FILES = ("learned_embeds", "learned_embeds_2", "learned_embeds_3")
SUFFIXES = (".safetensors", ".bin")
TOKEN_FILE, KIND_FILE = "token_identifier.txt", "type_of_concept.txt"
LONGEST_NOTE = 4096


@contextlib.contextmanager
def open_sources(path: Path) -> Iterator[Sequence[Source]]:
    """Open the file of a word, or the files of a folder in the layout of concept repositories.

    Such a folder may say its token and kind in two small text files. Raises NotFound and
    BadContent.
    """
    with contextlib.ExitStack() as stack:
        with reported(path):
            is_folder = path.is_dir()
        if not is_folder:
            yield [Source(stack.enter_context(open_file(path)), path.stem)]
            return
        stem = _note(path / TOKEN_FILE) or path.resolve().name
        kind = _note(path / KIND_FILE).lower()
        yield [
            Source(
                stack.enter_context(open_file(file)),
                stem,
                kind if kind in ("object", "style") else "",
            )
            for file in _word_files(path)
        ]


def _word_files(folder: Path) -> list[Path]:
    """The files of a folder that hold its word; safetensors are preferred to pickles."""
    found = []
    for stem in WORD_FILES:
        for suffix in SUFFIXES:
            if (folder / f"{stem}{suffix}").is_file():
                found.append(folder / f"{stem}{suffix}")
                break
    if not found:
        raise BadContent(
            f"{folder} is a folder without {WORD_FILES[0]}{SUFFIXES[0]}",
            "name the files of learned words themselves",
        )
    return found


def _note(path: Path) -> str:
    """The first line of a small text file; "" where there is none."""
    try:
        with open_file(path) as file:
            data = file.read(0, min(file.size, LONGEST_NOTE))
    except NotFound:
        return ""
    lines = data.decode("utf-8-sig", "replace").strip().splitlines()
    return lines[0].strip() if lines else ""


# What a file is and what importing it would bring, without importing it.


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
