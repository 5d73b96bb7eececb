"""A call of `ti generate`, checked and settled before anything heavy is loaded."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from ticli.concept import Concept, Embedding
from ticli.durable import check_folder
from ticli.errors import BadContent, Conflict, Usage
from ticli.generation.model_choice import ModelChoice, ModelRequest, choose_model
from ticli.generation.prompts import ResolvedPrompt, resolve
from ticli.library.record import longest_vector
from ticli.models.locate import ModelSource
from ticli.models.samplers import check_sampler, samplers_for
from ticli.names import slug
from ticli.settings import Settings, check_value

if TYPE_CHECKING:
    from ticli.library.library import Library

# Most VAEs halve a picture three times; some models need larger multiples.
GRAIN = 8
SMALLEST, LARGEST = 64, 4096
MOST_STEPS = 1000  # the noise schedule of Stable Diffusion has no more (2006.11239)
MOST_GUIDANCE = 100.0
MOST_PICTURES = 10_000
# Fresh seeds are short enough to read aloud; given ones may be as long as torch takes.
FRESH_SEEDS, LARGEST_SEED = 1 << 32, (1 << 63) - 1
SUFFIX = ".png"
# What a user means as a file, though pictures are only written as PNG.
PICTURE_SUFFIXES = (SUFFIX, ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
STDOUT = "-"


@dataclass(frozen=True)
class DrawingRequest:
    """The drawing settings a user gave; None or "" for the model's default."""

    steps: int | None = None
    guidance: float | None = None
    size: str = ""
    sampler: str = ""

    def check(self) -> None:
        """Check what needs no model. Raises Usage naming the setting and its range."""
        if self.steps is not None and not 1 <= self.steps <= MOST_STEPS:
            raise Usage(f"--steps must be 1 to {MOST_STEPS}, not {self.steps}")
        # Written so that nan, which compares as false, is refused too.
        if self.guidance is not None and not 0 <= self.guidance <= MOST_GUIDANCE:
            raise Usage(f"--guidance must be 0 to {MOST_GUIDANCE:g}, not {self.guidance}")
        if self.size:
            parse_size(self.size)
        if self.sampler:
            check_sampler(self.sampler)


@dataclass(frozen=True)
class Drawing:
    """How pictures are drawn: sampler, steps, guidance, and the size in pixels."""

    sampler: str
    steps: int
    guidance: float
    width: int
    height: int


@dataclass(frozen=True)
class PictureRequest:
    """What a user asked of `ti generate`: `count` pictures of each prompt.

    `output` is -o as typed; None writes nothing, and the caller keeps the pictures.
    """

    prompts: tuple[str, ...]
    negative: str = ""
    nouns: bool = True
    count: int = 1
    seed: int | None = None
    drawing: DrawingRequest = field(default_factory=DrawingRequest)
    model: ModelRequest = field(default_factory=ModelRequest)
    output: str | None = None
    grid: bool = False
    force: bool = False
    any_norm: bool = False


@dataclass(frozen=True)
class OutputPlace:
    """A folder for pictures; `stem` is the name the user gave, None if prompts give names.

    `shown` stands before a file's name when its path is printed, as the user typed it. `exact` is
    the whole name if there is one picture and the user named its file.
    """

    folder: Path
    shown: str
    stem: str | None = None
    exact: str = ""


@dataclass(frozen=True)
class PictureFile:
    """One file to write; `path` to open, `shown` to print.

    `stem` is its name before a number was added; a `fixed` name is the user's own.
    """

    path: Path
    shown: str
    stem: str
    fixed: bool


@dataclass(frozen=True)
class PlannedPicture:
    """One picture to draw; without `file` it goes to stdout or to the caller."""

    prompt: ResolvedPrompt
    seed: int
    file: PictureFile | None


@dataclass(frozen=True)
class PicturePlan:
    """What is drawn, with which model, and where each picture goes."""

    pictures: tuple[PlannedPicture, ...]
    choice: ModelChoice
    drawing: Drawing
    place: OutputPlace | None
    grid: PictureFile | None
    force: bool
    device: str
    dtype: str
    embeddings: Mapping[str, Embedding]

    @property
    def prompts(self) -> tuple[ResolvedPrompt, ...]:
        """Each prompt once, in order."""
        return tuple({item.prompt.typed: item.prompt for item in self.pictures}.values())

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts of all prompts, each once, in order."""
        return tuple({c.name: c for prompt in self.prompts for c in prompt.concepts}.values())


def plan_pictures(request: PictureRequest, library: Library, settings: Settings) -> PicturePlan:
    """Check and settle everything that needs no model in memory; write nothing.

    Picture i of the call takes seed + i. Raises the TiErrors of its parts, and BadContent for a
    damaged concept or one whose vectors would drown every word of a prompt.
    """
    request.drawing.check()
    total = request.count * len(request.prompts)
    first = first_seed(request.seed, total)
    if request.output == STDOUT and (total > 1 or request.grid):
        raise Usage("-o - writes one picture to stdout", "give -o a folder for several")
    resolved = resolve(request.prompts, library, negative=request.negative, nouns=request.nouns)
    drawn = [prompt for prompt in resolved for _ in range(request.count)]
    seeds = range(first, first + total)
    place, grid = None, None
    files: Sequence[PictureFile | None] = [None] * total
    if request.output is not None and request.output != STDOUT:
        place = find_place(request.output, settings["output_dir"], several=total > 1)
        check_folder(place.folder)
        named = [(prompt.typed, seed) for prompt, seed in zip(drawn, seeds, strict=True)]
        files = plan_files(place, named, force=request.force)
        grid = plan_grid(place, *named[0], force=request.force) if request.grid else None
    concepts = {concept.name: concept for prompt in resolved for concept in prompt.concepts}
    if not request.any_norm:
        for concept in concepts.values():
            if (norm := longest_vector(concept.norms)) is not None:
                raise BadContent(
                    f"{concept.token} has a vector of norm {norm:.3g}, where words have about "
                    "0.4: pictures of it would show nothing else, or nothing",
                    "learn it again, or give --any-norm to use it all the same",
                )
    choice = choose_model(tuple(concepts.values()), request.model, settings)
    if request.negative and not choice.source.reads_negative:
        raise Usage(f"{choice.source.id} reads no negative prompt", "leave --negative out")
    return PicturePlan(
        pictures=tuple(map(PlannedPicture, drawn, seeds, files)),
        choice=choice,
        drawing=settle(request.drawing, choice.source),
        place=place,
        grid=grid,
        force=request.force,
        device=check_value("device", request.model.device or settings["device"]),
        dtype=check_value("dtype", request.model.dtype or settings["dtype"]),
        embeddings={name: library.embedding(concept) for name, concept in concepts.items()},
    )


def settle(request: DrawingRequest, source: ModelSource) -> Drawing:
    """Fill what the user left open with the model's defaults.

    Raises Usage as `check` does, and for a sampler or size that the model does not take.
    """
    request.check()
    sampler, steps, guidance = source.defaults
    if request.sampler:
        check_sampler(request.sampler, samplers_for(source.family))
    square = (source.size, source.size)
    width, height = parse_size(request.size, source.grain) if request.size else square
    return Drawing(
        sampler=request.sampler or sampler,
        steps=steps if request.steps is None else request.steps,
        guidance=guidance if request.guidance is None else request.guidance,
        width=width,
        height=height,
    )


def parse_size(text: str, grain: int = GRAIN) -> tuple[int, int]:
    """Read "512" or "768x512" as (width, height) in pixels, multiples of `grain`. Raises Usage."""
    match = re.fullmatch(r"([0-9]{1,6})(?:[xX×]([0-9]{1,6}))?", text.strip())
    if not match:
        raise Usage(f"--size cannot be {text!r}", "write N or WxH, such as 512 or 768x512")
    width, height = int(match[1]), int(match[2] or match[1])
    for side in (width, height):
        if not SMALLEST <= side <= LARGEST:
            raise Usage(f"--size {text}: a side must be {SMALLEST} to {LARGEST} pixels, not {side}")
        if side % grain:
            near = max(SMALLEST, min(LARGEST, round(side / grain) * grain))
            raise Usage(f"--size {text}: {side} is not a multiple of {grain}", f"use {near}")
    return width, height


def first_seed(given: int | None, pictures: int) -> int:
    """The seed of picture 0, fresh if none is given; picture i takes seed + i. Raises Usage."""
    if not 1 <= pictures <= MOST_PICTURES:
        raise Usage(f"{pictures} pictures were asked for", f"ask for 1 to {MOST_PICTURES}")
    if given is None:
        return secrets.randbelow(FRESH_SEEDS)
    if not isinstance(given, int) or not 0 <= given <= LARGEST_SEED - pictures:
        hint = f"use 0 to {LARGEST_SEED - pictures}, or leave it out for a fresh one"
        raise Usage(f"--seed cannot be {given}", hint)
    return given


def find_place(output: str, configured: str, *, several: bool) -> OutputPlace:
    """Read `-o`: a folder if it is one, ends in / or has no picture suffix; else a PNG file.

    `configured` is the folder used without `-o`. Raises Usage and Conflict.
    """
    if not output:
        return _folder(str(Path(configured).expanduser()) if configured else "")
    path = Path(output)
    suffix = path.suffix.lower()
    if path.is_dir() or output.endswith("/") or suffix not in PICTURE_SUFFIXES:
        return _folder(output)
    if suffix != SUFFIX:
        raise Usage(
            f"pictures are written as PNG, not {path.suffix}", f"use -o {path.with_suffix(SUFFIX)}"
        )
    shown = output[: len(output) - len(path.name)]
    return OutputPlace(path.parent, shown, path.stem, "" if several else path.name)


def plan_files(
    place: OutputPlace, pictures: Sequence[tuple[str, int]], *, force: bool
) -> list[PictureFile]:
    """Name every picture, given as (prompt, seed); no two share a file.

    Raises Conflict if a name the user gave is taken already, unless `force`.
    """
    if place.exact:
        return [_fixed(place, place.exact, force)]
    files: dict[str, PictureFile] = {}
    for prompt, seed in pictures:
        stem = prompt_slug(prompt) if place.stem is None else place.stem
        file = _file(place, f"{stem}-{seed}", force, files)
        files[file.path.name] = file
    return list(files.values())


def plan_grid(place: OutputPlace, prompt: str, seed: int, *, force: bool) -> PictureFile:
    """Name the sheet of all pictures. Raises Conflict as plan_files does."""
    stem = f"{prompt_slug(prompt)}-{seed}" if place.stem is None else place.stem
    return _file(place, f"{stem}-grid", force)


def _file(place: OutputPlace, stem: str, force: bool, taken: Collection[str] = ()) -> PictureFile:
    """STEM.png, or the first free number of it if the user neither gave a name nor --force."""
    if place.stem is not None:
        return _fixed(place, stem + SUFFIX, force)
    return next(_numbered(place, stem)) if force else free_file(place, stem, taken)


def free_file(place: OutputPlace, stem: str, taken: Collection[str] = ()) -> PictureFile:
    """The first of STEM.png, STEM-2.png … that neither the folder nor `taken` has."""
    files = (file for file in _numbered(place, stem) if file.path.name not in taken)
    return next(file for file in files if not _exists(file.path))


def prompt_slug(prompt: str) -> str:
    """The part of a picture's name that its prompt gives: "mug-on-the-moon"."""
    return slug(prompt) if re.search(r"[a-z0-9]", prompt.lower()) else "picture"


def _numbered(place: OutputPlace, stem: str) -> Iterator[PictureFile]:
    for number in count(1):
        name = f"{stem}{SUFFIX}" if number == 1 else f"{stem}-{number}{SUFFIX}"
        yield PictureFile(place.folder / name, place.shown + name, stem, fixed=False)


def _folder(text: str) -> OutputPlace:
    folder = Path(text)
    if folder.exists() and not folder.is_dir():
        raise Conflict(f"{text} is a file, not a folder", "choose another name with -o")
    shown = text if not text or text.endswith("/") else f"{text}/"
    return OutputPlace(folder, shown)


def _fixed(place: OutputPlace, name: str, force: bool) -> PictureFile:
    file = PictureFile(place.folder / name, place.shown + name, Path(name).stem, fixed=True)
    if file.path.is_dir():
        raise Conflict(f"{file.shown} is a folder", "choose another name with -o")
    if not force and _exists(file.path):
        raise Conflict(
            f"{file.shown} exists already", "choose another name, or --force to overwrite it"
        )
    return file


def _exists(path: Path) -> bool:
    # A dangling link counts: what it points at is not ours to create.
    return path.exists() or path.is_symlink()
