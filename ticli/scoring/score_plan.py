"""A call of `ti score`, checked and settled before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ticli.concept import Concept, Embedding
from ticli.errors import Conflict, ModelUnavailable, NotFound, Usage
from ticli.generation.model_choice import ModelRequest, choose_model
from ticli.generation.picture_plan import DrawingRequest, settle
from ticli.generation.pictures import check_png
from ticli.library.importing import Wanted, choose_words, join_pairs, open_sources, read_source
from ticli.models.folder import FOLDER, OWN
from ticli.models.image_encoders import ImageEncoderSource, locate_image_encoder
from ticli.models.locate import STARTER_ID, ModelSource, locate, starter
from ticli.names import TOKEN
from ticli.photos.finding import find_photos
from ticli.photos.loading import PhotoSet, load_photos
from ticli.scoring.protocol import (
    STARTER_SAMPLER,
    STARTER_STEPS,
    Counts,
    Protocol,
    counts_of,
    prompts_for,
    prompts_of,
)
from ticli.settings import Settings, check_value

if TYPE_CHECKING:
    from ticli.library.library import Library

# The paper's encoder (2208.01618, evaluation), for models other than the starter.
USUAL_ENCODER = "openai/clip-vit-base-patch32"
NO_WORDS = ("", "random", "mean")
FILE_SUFFIXES = (".safetensors", ".pt", ".bin", ".ckpt", ".png", ".webp")


@dataclass(frozen=True)
class ScoreRequest:
    """What a user asked of `ti score`; "", () and None stand for what they left open.

    `concepts` are names in the library or files. `photos` replace the kept ones, and `scenes` the
    usual ones of the concept's kind.
    """

    concepts: tuple[str, ...]
    photos: tuple[str, ...] = ()
    encoders: tuple[str, ...] = ()
    class_word: str = ""
    scenes: tuple[str, ...] = ()
    samples: int | None = None
    scene_samples: int | None = None
    drawing: DrawingRequest = field(default_factory=DrawingRequest)
    model: ModelRequest = field(default_factory=ModelRequest)
    nouns: bool = True
    plot: Path | None = None
    sheet: Path | None = None
    force: bool = False


@dataclass(frozen=True)
class ScoreSubject:
    """One concept to score, with all that its figures depend on.

    `label` tells it from the others; `trigger` is what the prompts say. `stored` is False for a
    concept read from a file. There is one of `protocols` and `warmed` for each of `encoders`:
    `warmed` says whether that encoder gave the concept its warm start, None if that is unknown.
    """

    concept: Concept
    embedding: Embedding
    label: str
    trigger: str
    class_word: str
    photos: PhotoSet
    source: ModelSource
    protocols: tuple[Protocol, ...]
    encoders: tuple[ImageEncoderSource, ...]
    stored: bool
    notes: tuple[str, ...]
    warmed: tuple[bool | None, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """Why some figures are worth less than they look."""
        return [
            f"{protocol.encoder} {'gave' if warmed else 'may have given'} "
            f"{self.concept.token} its warm start (--warm-start): its figures flatter the concept; "
            "use another --encoder"
            for protocol, warmed in zip(self.protocols, self.warmed, strict=True)
            if warmed is not False
        ]


@dataclass(frozen=True)
class ScorePlan:
    """The concepts to score, where, and the files to write; one sheet a concept, or none."""

    subjects: tuple[ScoreSubject, ...]
    device: str
    dtype: str
    plot: Path | None = None
    sheets: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    """A concept that was found, in the library or in a file."""

    concept: Concept
    embedding: Embedding
    label: str
    stored: bool
    notes: tuple[str, ...] = ()


def plan_scores(request: ScoreRequest, library: Library, settings: Settings) -> ScorePlan:
    """Find every concept, its photos, its model and the encoders; load and write nothing.

    Raises NotFound (no such concept), Usage (no photos, no class word, wrong file name),
    ModelUnavailable, Conflict (a file exists) and BadContent.
    """
    if not request.concepts:
        raise Usage("no concept named", "such as ti score mug; ti list shows all")
    counts = counts_of(request.samples, request.scene_samples)
    # A file may have the widths of the starter and of the named model too.
    named = request.model.model
    models = [starter(), *([locate(named, given=request.model.given)] if named else [])]
    widths = {width for source in models for width in source.widths.values()}
    found = [item for text in request.concepts for item in _find(text, library, widths)]
    # Hashing an encoder's weights takes a while: once is enough for all concepts.
    encoder_named = cache(locate_image_encoder)
    subjects = tuple(
        _subject(request, counts, candidate, library, settings, encoder_named)
        for candidate in found
    )
    sheets: list[Path] = []
    if request.sheet is not None:
        path = check_png(request.sheet.expanduser(), "a sheet")
        sheets = _sheets(path, [subject.label for subject in subjects])
    plot = None
    if request.plot is not None:
        plot = check_png(request.plot, "a plot")
        if not any(encoder.reads for subject in subjects for encoder in subject.encoders):
            raise Usage("a plot needs an encoder that reads, and DINO does not", "add a CLIP")
    for path in (*sheets, *([plot] if plot else [])):
        if path.exists() and not request.force:
            raise Conflict(f"{path} exists already", "give --force, or another name")
    return ScorePlan(
        subjects,
        check_value("device", request.model.device or settings["device"]),
        check_value("dtype", request.model.dtype or settings["dtype"]),
        plot,
        tuple(sheets),
    )


def _sheets(path: Path, labels: Sequence[str]) -> list[Path]:
    """One file for each concept; a concept and a file of it may have the same name."""
    if len(labels) == 1:
        return [path]
    found = []
    for number, label in enumerate(labels):
        before = labels[:number].count(label)
        found.append(path.with_stem(f"{path.stem}-{label}{f'-{before + 1}' if before else ''}"))
    return found


def _find(text: str, library: Library, widths: set[int]) -> Iterator[_Candidate]:
    """A concept of the library, else the concepts of a file of that path."""
    like_file = "/" in text or Path(text).suffix.lower() in FILE_SUFFIXES
    path = Path(text).expanduser()
    if not like_file and (library.find(text) is not None or not path.is_file()):
        concept = library.get(text)
        yield _Candidate(concept, library.embedding(concept), concept.name, True)
        return
    wanted = Wanted(everything=True, usable=lambda: widths)
    with open_sources(path) as sources:
        read = join_pairs([read_source(source, wanted) for source in sources])
    incoming = [item for contents in read for item in choose_words(contents, wanted)]
    # A chart needs the file's name as printable text.
    stem = path.stem.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    stem = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in stem)
    for item in incoming:
        label = stem if len(incoming) == 1 else f"{stem}-{item.concept.name}"
        yield _Candidate(item.concept, item.embedding, label, False, tuple(item.warnings))


def _subject(
    request: ScoreRequest,
    counts: Counts,
    candidate: _Candidate,
    library: Library,
    settings: Settings,
    encoder_named: Callable[[str], ImageEncoderSource],
) -> ScoreSubject:
    concept = candidate.concept
    choice = choose_model((concept,), request.model, settings)
    source = choice.source
    usual = STARTER_ID if source.is_starter else USUAL_ENCODER
    encoders = tuple(encoder_named(name) for name in request.encoders or (usual,))
    drawing = request.drawing
    if source.is_starter:
        drawing = replace(
            drawing,
            steps=STARTER_STEPS if drawing.steps is None else drawing.steps,
            sampler=drawing.sampler or STARTER_SAMPLER,
        )
    scenes = request.scenes
    base = Protocol(
        model=source.describe(),
        model_fingerprint=choice.fingerprint,
        encoder="",
        encoder_sha256="",
        prompts=prompts_of(concept.kind, scenes) if scenes else prompts_for(concept.kind),
        counts=counts,
        drawn=settle(drawing, source),
    )
    return ScoreSubject(
        concept=concept,
        embedding=candidate.embedding,
        label=candidate.label,
        trigger=concept.trigger if request.nouns else concept.token,
        class_word=class_word_of(concept, request.class_word),
        photos=load_photos(find_photos(_photo_paths(request, library, candidate)), source.size),
        source=source,
        protocols=tuple(base.by(encoder) for encoder in encoders),
        encoders=encoders,
        stored=candidate.stored,
        notes=(*candidate.notes, *choice.notes),
        warmed=tuple(warmed_by(concept, source, encoder, encoder_named) for encoder in encoders),
    )


def class_word_of(concept: Concept, given: str) -> str:
    """The ordinary word that a concept is compared with: its noun, else its init word.

    Raises Usage if it has neither.
    """
    for word in (given, concept.noun, concept.init):
        if word not in NO_WORDS and not TOKEN.search(word):
            return word
    raise Usage(
        f"{concept.token} has no class word to compare it with",
        "name one, such as --class-word mug",
    )


def warmed_by(
    concept: Concept,
    model: ModelSource,
    encoder: ImageEncoderSource,
    encoder_named: Callable[[str], ImageEncoderSource],
) -> bool | None:
    """Whether this encoder gave the concept its warm start: the same folder, or the same weights.

    None if that is unknown: that CLIP is gone, or is not a whole one.
    """
    named = str(concept.recipe.get("warm_start", ""))
    if not named or not encoder.reads:
        return False
    folder = model.folder / FOLDER if named == OWN else Path(named).expanduser()
    if folder.resolve() == encoder.folder.resolve():
        return True
    if not folder.is_dir():
        return None
    try:
        return encoder_named(str(folder.absolute())).sha256 == encoder.sha256
    except ModelUnavailable:
        return None


def _photo_paths(request: ScoreRequest, library: Library, candidate: _Candidate) -> Sequence[str]:
    """The photos to compare with: the ones the user named, else all that were kept."""
    if request.photos:
        return request.photos
    concept = candidate.concept
    kept = library.kept_photos(concept) if candidate.stored else []
    if not kept:
        raise Usage(
            f"ti score needs the photos of {concept.token}, and they were not kept",
            "name them with --photos PATH; ti invert --keep-photos keeps them from the start",
        )
    hashes = {path.name.partition(".")[0] for path in kept}
    if missing := [photo.file for photo in concept.photos if photo.sha256 not in hashes]:
        raise NotFound(
            f"of {concept.token}'s photos, {', '.join(missing)} were not kept",
            "name them all with --photos PATH",
        )
    return [str(path) for path in kept]
