"""What will be judged, settled and checked before torch is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ticli.concept import Concept, Embedding
from ticli.errors import ModelUnavailable, NotFound, Usage
from ticli.generation.model_choice import Wish, choose_model
from ticli.generation.picture_plan import Wanted, settle
from ticli.library.importing import Wanted as WantedWords
from ticli.library.importing import choose_words, join_pairs, open_sources, read_source
from ticli.models.folder import FOLDER, OWN
from ticli.models.image_encoders import JudgeSource, locate_judge
from ticli.models.locate import STARTER_ID, ModelSource, locate, starter
from ticli.names import TOKEN
from ticli.photos.finding import find_photos
from ticli.photos.loading import PhotoSet, load_photos
from ticli.scoring.protocol import (
    STARTER_SAMPLER,
    STARTER_STEPS,
    Counts,
    Drawn,
    Prompts,
    Protocol,
    name_encoder,
    prompts_for,
    prompts_of,
)
from ticli.settings import Settings

if TYPE_CHECKING:
    from ticli.library.library import Library


# Whether an encoder that reports took part in learning the word; no torch here.


def warmed_by(
    concept: Concept,
    model: ModelSource,
    judge: JudgeSource,
    judge_named: Callable[[str], JudgeSource],
) -> bool | None:
    """Whether a word's warm start was by this encoder: the same folder, or the same weights.

    None where that cannot be told, since what warmed it is not there or no whole CLIP.
    """
    named = str(concept.recipe.get("warm_start", ""))
    if not named or not judge.reads:
        return False
    folder = model.folder / FOLDER if named == OWN else Path(named).expanduser()
    if folder.resolve() == judge.folder.resolve():
        return True
    if not folder.is_dir():
        return None
    try:
        return judge_named(str(folder.absolute())).sha256 == judge.sha256
    except ModelUnavailable:
        return None


def say_warmed(token: str, encoder: str, warmed: bool | None) -> str:
    """What a user must know of a word's figures by an encoder; "" for nothing."""
    if warmed is False:
        return ""
    which = "is" if warmed else "may be"
    return (
        f"{encoder} {which} the CLIP that {token} was warmed up by (--warm-start): its figures "
        "flatter the word; judge it by another --encoder"
    )


# The paper's encoder (2208.01618, evaluation), for models other than the starter.
USUAL_ENCODER = "openai/clip-vit-base-patch32"
NO_WORDS = ("", "random", "mean")
FILE_SUFFIXES = (".safetensors", ".pt", ".bin", ".ckpt", ".png", ".webp")


@dataclass(frozen=True)
class Request:
    """What a user asked for; "" and None stand for what they left open.

    `words` are concepts of the library or files of learned words; `photos` take the place of the
    kept ones, `scenes` of the kind's own.
    """

    words: tuple[str, ...]
    photos: tuple[str, ...]
    encoders: tuple[str, ...]
    class_word: str
    scenes: tuple[str, ...]
    counts: Counts
    wanted: Wanted
    wish: Wish
    nouns: bool = True


@dataclass(frozen=True)
class Subject:
    """One word to be judged, with all that its figures will depend on.

    `label` tells it from the others, `trigger` is what stands in the prompts. `stored` is False
    for a word read from a file. One of `protocols` for each encoder, in order of `encoders`, and
    of `warmed`: whether the word's warm start was by that encoder, None where it cannot be told.
    """

    concept: Concept
    embedding: Embedding
    label: str
    trigger: str
    class_word: str
    photos: PhotoSet
    source: ModelSource
    protocols: tuple[Protocol, ...]
    encoders: tuple[JudgeSource, ...]
    stored: bool
    notes: tuple[str, ...]
    warmed: tuple[bool | None, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """What makes figures worth less than they look."""
        pairs = zip(self.protocols, self.warmed, strict=True)
        said = [say_warmed(self.concept.token, p.encoder, warmed) for p, warmed in pairs]
        return [text for text in said if text]


def plan_subjects(request: Request, library: Library, settings: Settings) -> list[Subject]:
    """Find every word, its photos, its model and the encoders; nothing is loaded or written.

    Raises NotFound (no such word), Usage (no photos, no class word), ModelUnavailable, Conflict
    and BadContent.
    """
    usable = _widths(request.wish)
    found = [word for text in request.words for word in _find(text, library, usable)]
    # An encoder's weights are hashed, which takes a while: once is enough for all words.
    surroundings = _Surroundings(library, settings, cache(locate_judge))
    return [_subject(request, surroundings, word) for word in found]


@dataclass(frozen=True)
class _Surroundings:
    library: Library
    settings: Settings
    judge_named: Callable[[str], JudgeSource]


@dataclass(frozen=True)
class _Word:
    concept: Concept
    embedding: Embedding
    label: str
    stored: bool
    notes: tuple[str, ...] = ()


def _widths(wish: Wish) -> set[int]:
    """Widths a file may have beside those of the known encoders: the starter's, the model's."""
    named = [locate(wish.model, given=wish.given)] if wish.model else []
    sources = [starter(), *named]
    return {width for source in sources for width in source.widths.values()}


def _find(text: str, library: Library, usable: set[int]) -> list[_Word]:
    """A concept of the library, else the words of a file of that path."""
    concept = None if _looks_like_file(text) else library.find(text)
    if concept is not None:
        return [_Word(concept, library.embedding(concept), concept.name, True)]
    path = Path(text).expanduser()
    if not _looks_like_file(text) and not path.is_file():
        library.get(text)
    return list(_of_file(path, WantedWords(everything=True, usable=lambda: usable)))


def _of_file(path: Path, wanted: WantedWords) -> Iterator[_Word]:
    with open_sources(path) as sources:
        read = join_pairs([read_source(source, wanted) for source in sources])
    incoming = [word for contents in read for word in choose_words(contents, wanted)]
    for word in incoming:
        stem = _printable(path.stem)
        label = stem if len(incoming) == 1 else f"{stem}-{word.concept.name}"
        yield _Word(word.concept, word.embedding, label, False, tuple(word.warnings))


def _printable(stem: str) -> str:
    """A file's name as a chart can hold it: text, and nothing that moves text about."""
    text = stem.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _looks_like_file(text: str) -> bool:
    return "/" in text or Path(text).suffix.lower() in FILE_SUFFIXES


def _subject(request: Request, around: _Surroundings, word: _Word) -> Subject:
    concept = word.concept
    choice = choose_model((concept,), request.wish, around.settings)
    source = choice.source
    encoders = tuple(around.judge_named(name) for name in _encoders(request, source))
    prompts = prompts_for(concept.kind)
    if request.scenes:
        prompts = prompts_of(concept.kind, request.scenes)
    base = _protocol(request, source, choice.fingerprint, prompts)
    photos = _photos(request, around.library, word, source.size)
    return Subject(
        concept=concept,
        embedding=word.embedding,
        label=word.label,
        trigger=concept.trigger if request.nouns else concept.token,
        class_word=class_word_of(concept, request.class_word),
        photos=photos,
        source=source,
        protocols=tuple(name_encoder(base, judge) for judge in encoders),
        encoders=encoders,
        stored=word.stored,
        notes=(*word.notes, *choice.notes),
        warmed=tuple(warmed_by(concept, source, judge, around.judge_named) for judge in encoders),
    )


def class_word_of(concept: Concept, given: str) -> str:
    """The word of the vocabulary that a concept is compared with: its noun, else its init word.

    Raises Usage where it has neither.
    """
    for word in (given, concept.noun, concept.init):
        if word not in NO_WORDS and not TOKEN.search(word):
            return word
    raise Usage(
        f"{concept.token} has no class word to be compared with",
        "name one, such as --class-word mug",
    )


def _encoders(request: Request, source: ModelSource) -> Sequence[str]:
    if request.encoders:
        return request.encoders
    return (STARTER_ID if source.is_starter else USUAL_ENCODER,)


def _protocol(
    request: Request, source: ModelSource, fingerprint: str, prompts: Prompts
) -> Protocol:
    """The protocol of a model, its encoder still to be named."""
    wanted = request.wanted
    if source.is_starter:
        wanted = replace(
            wanted,
            steps=STARTER_STEPS if wanted.steps is None else wanted.steps,
            sampler=wanted.sampler or STARTER_SAMPLER,
        )
    how = settle(wanted, source)
    return Protocol(
        model=source.describe(),
        model_fingerprint=fingerprint,
        encoder="",
        encoder_sha256="",
        prompts=prompts,
        counts=request.counts,
        drawn=Drawn(how.sampler, how.steps, how.guidance, how.width, how.height),
    )


def _photos(request: Request, library: Library, word: _Word, size: int) -> PhotoSet:
    if request.photos:
        return load_photos(find_photos(request.photos), size)
    kept = library.kept_photos(word.concept) if word.stored else []
    if not kept:
        raise Usage(
            f"the photos of {word.concept.token} are needed and were not kept",
            "name them with --photos PATH; ti invert --keep-photos keeps them from the start",
        )
    if len(kept) < len(word.concept.photos):
        missing = [p.file for p in word.concept.photos if not _is_kept(p.sha256, kept)]
        raise NotFound(
            f"of {word.concept.token}'s photos, {', '.join(missing)} were not kept",
            "name them all with --photos PATH",
        )
    return load_photos(find_photos([str(path) for path in kept]), size)


def _is_kept(sha256: str, kept: Sequence[Path]) -> bool:
    return any(path.name.partition(".")[0] == sha256 for path in kept)
