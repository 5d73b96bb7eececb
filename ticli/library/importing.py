"""Import files: all are read and checked before the first concept is stored."""

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

    `kind` is "style" or "object" if something beside the file says so.
    """

    file: Opened
    stem: str
    kind: str = ""


@dataclass(frozen=True)
class LearnedOn:
    """The model that the user says a concept was learned on, with its widths by encoder."""

    base: BaseModel
    widths: Mapping[str, int]


@dataclass(frozen=True)
class Wanted:
    """What the user asks for: a `token` to give or to choose by, or `everything` in a file.

    `usable` lists the widths of the models on this machine.
    """

    token: str | None = None
    everything: bool = False
    learned_on: LearnedOn | None = None
    usable: Callable[[], Collection[int]] = field(default=tuple)


@dataclass(frozen=True)
class Incoming:
    """One concept, ready to be stored, and what is odd about its file."""

    concept: Concept
    embedding: Embedding
    warnings: tuple[str, ...]


def read_source(source: Source, wanted: Wanted) -> Contents:
    """Read one file, and give its concepts the name that the file suggests. Raises BadContent."""
    said = wanted.learned_on.widths if wanted.learned_on is not None else {}
    contents = read_words(source.file, Widths(said, wanted.usable))
    words = tuple(
        replace(word, stem=word.stem or source.stem, kind=source.kind or word.kind)
        for word in contents.words
    )
    return replace(contents, words=words)


def join_pairs(files: Sequence[Contents]) -> list[Contents]:
    """Join the files that diffusers writes for the encoders of one concept.

    They have the same key and no encoder in common. Raises BadContent if they have unequal numbers
    of vectors.
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
    """Choose concepts of a file and name them.

    Raises Usage if the user has to choose one of several, or has to name one, and Conflict if the
    vectors do not fit the model named.
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
                f"{contents.origin} holds {len(words)} concepts: {shown}",
                "take one with --token, or all with --all",
                tokens=names,
            )
        # Its token keeps the case that the file has.
        words, given = chosen, None
    return [_incoming(word, given, wanted.learned_on, contents.origin) for word in words]


def store_all(library: Library, words: Sequence[Incoming], replace: bool) -> list[Concept]:
    """Store all concepts or none. Raises Conflict if a name is taken or occurs twice."""
    counts = Counter(word.concept.name for word in words)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise Conflict(
            f"several files hold a concept called {', '.join(map(repr, twice))}",
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


# diffusers' names of files, one for each encoder.
WORD_FILES = ("learned_embeds", "learned_embeds_2", "learned_embeds_3")
SUFFIXES = (".safetensors", ".bin")
TOKEN_FILE, KIND_FILE = "token_identifier.txt", "type_of_concept.txt"
LONGEST_NOTE = 4096


@contextlib.contextmanager
def open_sources(path: Path | Opened) -> Iterator[Sequence[Source]]:
    """Open a file, or the files of a folder in the layout of concept repositories.

    What is open already, such as stdin, suggests no name.

    Two small text files in such a folder may give its token and kind. Raises NotFound and
    BadContent.
    """
    if isinstance(path, Opened):
        yield [Source(path, "")]
        return
    with contextlib.ExitStack() as stack:
        with reported(path):
            is_folder = path.is_dir()
        if not is_folder:
            yield [Source(stack.enter_context(open_file(path)), path.stem)]
            return
        stem = _note(path / TOKEN_FILE) or path.resolve().name
        kind = _note(path / KIND_FILE).lower()
        kind = kind if kind in ("object", "style") else ""
        files = _word_files(path)
        yield [Source(stack.enter_context(open_file(file)), stem, kind) for file in files]


def _word_files(folder: Path) -> list[Path]:
    """The files of a folder that hold its concept; safetensors are preferred to pickles."""
    every = [[folder / f"{stem}{suffix}" for suffix in SUFFIXES] for stem in WORD_FILES]
    found = [next(filter(Path.is_file, files)) for files in every if any(map(Path.is_file, files))]
    if not found:
        raise BadContent(
            f"{folder} is a folder without {WORD_FILES[0]}{SUFFIXES[0]}",
            "name the files themselves",
        )
    return found


def _note(path: Path) -> str:
    """The first line of a small text file; "" if there is none."""
    try:
        with open_file(path) as file:
            data = file.read(0, min(file.size, LONGEST_NOTE))
    except NotFound:
        return ""
    lines = data.decode("utf-8-sig", "replace").strip().splitlines()
    return lines[0].strip() if lines else ""


@dataclass(frozen=True)
class Word:
    """One concept of a file and its name after an import, "" if the user must give one."""

    read: Imported
    name: str

    def as_json(self) -> dict[str, Any]:
        """The concept as a document."""
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
    """One file: what it is, its concepts, and what an import would say.

    `container` and `layout` are "" if it could not be read; then `problem` says why, and `hint`
    what to do.
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
    """Describe the files behind one name; a file that is refused is described by the refusal."""
    read: list[Contents] = []
    unread: list[Inspection] = []
    sizes = {source.file.origin: source.file.size for source in sources}
    for source in sources:
        try:
            read.append(read_source(source, wanted))
        except BadContent as error:
            unread.append(refused(source.file.origin, source.file.size, error))
    with contextlib.suppress(BadContent):
        # Two files that do not belong together stay apart.
        read = join_pairs(read)
    return [*(_described(contents, sizes) for contents in read), *unread]


def refused(file: str, size: int, error: BadContent) -> Inspection:
    """Describe a file that cannot be read."""
    return Inspection(file, size, problem=error.message, hint=error.hint)


def _described(contents: Contents, sizes: dict[str, int]) -> Inspection:
    words = []
    for word in contents.words:
        try:
            words.append(Word(word, choose_token(word, None, word.stem).name))
        except Usage:
            words.append(Word(word, ""))
    warnings = tuple(dict.fromkeys(text for word in contents.words for text in word.warnings))
    size = sum(sizes.get(origin, 0) for origin in contents.origin.split(" + "))
    # What an import would ask for.
    problem, hint = "", ""
    if any(not word.name for word in words):
        problem = "the file does not say what its concept is called"
        hint = 'import it with --token "<name>"'
    elif len(words) > 1:
        problem = f"it holds {len(words)} concepts"
        hint = "import one with --token, or all with --all"
    return Inspection(
        contents.origin,
        size,
        contents.container,
        contents.layout,
        tuple(contents.metadata.items()),
        tuple(words),
        contents.notes,
        warnings,
        problem,
        hint,
    )
