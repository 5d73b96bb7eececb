"""Import files: all are read and checked before the first concept is stored."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from ticli.concept import BaseModel, Concept, Embedding
from ticli.errors import BadContent, Conflict, NotFound, Usage
from ticli.families import fits, model_in_words
from ticli.library.formats.containers import Opened, open_file, reported
from ticli.library.formats.embedding import (
    PAIR,
    STEPS,
    Contents,
    Imported,
    choose_token,
    imported_concept,
    is_name,
    join_words,
    read_words,
)
from ticli.library.formats.read_containers import zipped_files
from ticli.library.formats.read_layouts import Widths
from ticli.library.library import Library
from ticli.library.record import norms_of
from ticli.names import lookup_name, slug
from ticli.plain_text import parse_mapping


@dataclass(frozen=True)
class Source:
    """An opened file, and the name it suggests: without folder and suffix, or "" for a pipe.

    `kind` is "style" or "object" if something beside the file says so, as `base` and `about` are
    what a README beside it says. A `collected` file is one of many in a folder or zip.
    """

    file: Opened
    stem: str
    kind: str = ""
    base: str = ""
    about: Mapping[str, str] = field(default_factory=dict)
    collected: bool = False


@dataclass(frozen=True)
class LearnedOn:
    """The model that the user says a concept was learned on, with its widths by encoder."""

    base: BaseModel
    widths: Mapping[str, int]


@dataclass(frozen=True)
class Wanted:
    """What the user asks for: a `token` to give or to choose by, or `everything` in a file.

    `usable` lists the widths of the models on this machine. `any_hash` takes vectors that are not
    those of the hash in their file.
    """

    token: str | None = None
    everything: bool = False
    learned_on: LearnedOn | None = None
    usable: Callable[[], Collection[int]] = field(default=tuple)
    any_hash: bool = False


@dataclass(frozen=True)
class Incoming:
    """One concept, ready to be stored, what is odd about its file, and what else to say."""

    concept: Concept
    embedding: Embedding
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_source(source: Source, wanted: Wanted) -> Contents:
    """Read one file, and give its concepts the name that the file suggests. Raises BadContent."""
    said = wanted.learned_on.widths if wanted.learned_on is not None else {}
    contents = read_words(source.file, Widths(said, wanted.usable), wanted.any_hash)
    words = tuple(
        replace(
            word,
            stem=word.stem or source.stem,
            kind=source.kind or word.kind,
            base=word.base if word.base.id else replace(word.base, id=source.base),
            about={**source.about, **word.about},
        )
        for word in contents.words
    )
    return replace(contents, words=_numbered(words), collected=source.collected)


def _numbered(words: tuple[Imported, ...]) -> tuple[Imported, ...]:
    """Words of one file, those without a name of their own numbered after the file."""
    if len(words) == 1:
        return words
    return tuple(
        word
        if is_name(word.token) or is_name(word.key)
        else replace(word, stem=f"{word.stem or 'concept'}-{number}")
        for number, word in enumerate(words, 1)
    )


def gather(
    files: Sequence[Path | Opened], wanted: Wanted, is_taken: Callable[[str], bool]
) -> tuple[list[Incoming], list[str]]:
    """Read files, and those of folders and zips, and choose the concepts to store.

    Of many files in a folder or zip, what is unfit is left out, and so is a name that occurs twice
    or `is_taken`; the notes say so. Raises NotFound, BadContent, Usage and Conflict.
    """
    contents: list[Contents] = []
    left_out: list[str] = []
    for file in files:
        with open_sources(file) as sources:
            for source in sources:
                try:
                    contents.append(read_source(source, wanted))
                except BadContent as error:
                    if not source.collected:
                        raise
                    left_out.append(error.message)
    contents = join_pairs(contents)
    if wanted.token is not None and len(contents) > 1:
        raise Usage(
            "--token names one concept, and there are several files", "import them one by one"
        )
    words: list[Incoming] = []
    names: set[str] = set()
    here: list[str] = []
    for read in contents:
        try:
            chosen = choose_words(read, wanted)
        except Usage as error:
            if not read.collected:
                raise
            left_out.append(f"{error.message} ({error.hint})")
            continue
        for word in chosen:
            name = word.concept.name
            if read.collected and (name in names or is_taken(name)):
                why = "another file has that name" if name in names else "it is in the library"
                here.append(f"{read.origin}: {name!r}, because {why} already")
                continue
            names.add(name)
            words.append(word)
    if left_out and not words and not here:
        raise BadContent(f"nothing can be imported: {left_out[0]}", "name the files themselves")
    notes = [*(read.notes for read in contents), *(word.notes for word in words)]
    return words, [*chain(*notes), *(f"left out: {text}" for text in left_out + here)]


def join_pairs(files: Sequence[Contents]) -> list[Contents]:
    """Join the files that diffusers writes for the encoders of one concept.

    They have the same key and no encoder in common. Raises BadContent if they have unequal numbers
    of vectors.
    """
    joined: list[Contents] = []
    places: dict[str, int] = {}
    for contents in files:
        key = contents.words[0].key if len(contents.words) == 1 and not contents.collected else ""
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
            if given is not None and lookup_name(given) in (lookup_name(name), word.key)
        ]
        if len(chosen) != 1:
            signs = ["" if is_name(word.key) else f" ({word.key})" for word in words]
            said = [name + sign for name, sign in zip(names, signs, strict=True)]
            shown = ", ".join(said[:8]) + (" …" if len(said) > 8 else "")
            raise Usage(
                f"{contents.origin} holds {len(words)} concepts: {shown}",
                "take one with --token, or all with --all",
                tokens=names,
            )
        # Its token keeps the case that the file has.
        words, given = chosen, None
    found = [_incoming(word, given, wanted.learned_on, contents.origin) for word in words]
    return found if len(found) == 1 else [replace(each, notes=()) for each in found]


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
    named = not given and _is_other(word, token.name)
    notes = (f"{origin} is imported as {token.text}, as it says inside",) if named else ()
    base = learned_on.base if learned_on is not None else None
    return Incoming(imported_concept(word, token, base), word.embedding, word.warnings, notes)


def _is_other(word: Imported, name: str) -> bool:
    """Whether another program's file has a name of its own, and its concept another."""
    if word.concept is not None or not is_name(word.stem):
        return False
    stem = slug(STEPS.sub("", word.stem))
    return not stem.startswith(slug(WORD_FILES[0])) and stem != slug(name)


# diffusers' names of files, one for each encoder.
WORD_FILES = ("learned_embeds", "learned_embeds_2", "learned_embeds_3")
SUFFIXES = (".safetensors", ".bin")
# What is looked at in a folder or zip of many files.
COLLECTED = (*SUFFIXES, ".pt", ".png", ".webp")
MOST_COLLECTED = 10_000
TOKEN_FILE, KIND_FILE = "token_identifier.txt", "type_of_concept.txt"
LONGEST_NOTE = 4096


@contextlib.contextmanager
def open_sources(path: Path | Opened) -> Iterator[Iterable[Source]]:
    """Open a file, the concept of a repository's folder, or all files of a folder or zip.

    What is open already, such as stdin, suggests no name. Small text files in a repository may
    give its token, kind and base. Raises NotFound and BadContent.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(path, Path):
            with reported(path):
                is_folder = path.is_dir()
        if isinstance(path, Opened) or not is_folder:
            file = path if isinstance(path, Opened) else stack.enter_context(open_file(path))
            members = zipped_files(file, COLLECTED)
            if members is None:
                yield [Source(file, "" if file is path else Path(file.origin).stem)]
            else:
                inside = len(file.origin) + 1
                yield [Source(m, Path(m.origin[inside:]).stem, collected=True) for m in members]
            return
        if not any(map(Path.is_file, _repository_files(path))):
            yield _collected(path)
            return
        stem = _note(path / TOKEN_FILE) or path.resolve().name
        kind = _note(path / KIND_FILE).lower()
        kind = kind if kind in ("object", "style") else ""
        card = _card(path / "README.md")
        base, about = card.get("base_model", ""), {k: card[k] for k in ("license",) if card.get(k)}
        files = [stack.enter_context(open_file(file)) for file in _word_files(path)]
        yield [Source(file, stem, kind, base, about) for file in files]


def _repository_files(folder: Path) -> list[Path]:
    return [folder / f"{stem}{suffix}" for stem in WORD_FILES for suffix in SUFFIXES]


def _word_files(folder: Path) -> list[Path]:
    """The files of a folder that hold its concept; safetensors are preferred to pickles."""
    found = {path.stem: path for path in reversed(_repository_files(folder)) if path.is_file()}
    return [found[stem] for stem in WORD_FILES if stem in found]


def _collected(folder: Path) -> Iterator[Source]:
    """Open what may be an embedding in a folder and the folders in it, one file at a time."""
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in COLLECTED]
    # A concept repository has the same vectors twice.
    files = [p for p in found if p.suffix != ".bin" or p.with_suffix(SUFFIXES[0]) not in found]
    if not 0 < len(files) <= MOST_COLLECTED:
        raise BadContent(
            f"{folder} is a folder with {len(files):,} files that end in {', '.join(COLLECTED)}",
            "name a concept's folder, a folder of embeddings, or the files themselves",
        )
    for path in files:
        with open_file(path) as file:
            yield Source(file, path.stem, collected=True)


def _note(path: Path) -> str:
    """The first line of a small text file; "" if there is none."""
    lines = _text(path).strip().splitlines()
    return lines[0].strip() if lines else ""


def _text(path: Path) -> str:
    """The beginning of a text file; "" if there is none."""
    try:
        with open_file(path) as file:
            data = file.read(0, min(file.size, LONGEST_NOTE))
    except NotFound:
        return ""
    return data.decode("utf-8-sig", "replace")


def _card(path: Path) -> dict[str, str]:
    """The texts at the head of a model card."""
    _, _, rest = _text(path).partition("---\n")
    try:
        head = parse_mapping(rest.partition("\n---")[0], str(path))
    except BadContent:
        # A card is for people; the vectors do not need it.
        return {}
    return {key: value for key, value in head.items() if isinstance(value, str)}


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


def inspect_sources(sources: Iterable[Source], wanted: Wanted) -> list[Inspection]:
    """Describe the files behind one name; a file that is refused is described by the refusal."""
    read: list[Contents] = []
    unread: list[Inspection] = []
    sizes: dict[str, int] = {}
    for source in sources:
        sizes[source.file.origin] = source.file.size
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
