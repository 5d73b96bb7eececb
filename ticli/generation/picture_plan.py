"""A call of `ti generate` thought through before anything heavy is loaded."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from ticli.concept import Concept, Embedding
from ticli.errors import Conflict, Usage
from ticli.generation.model_choice import Choice, Wish, choose_model
from ticli.generation.prompts import ResolvedPrompt, Wording, check_norms, resolve
from ticli.models.locate import ModelSource
from ticli.models.samplers import check_sampler, samplers_for
from ticli.names import slug
from ticli.settings import Settings, check_value

if TYPE_CHECKING:
    from ticli.library.library import Library


# How pictures are drawn: sampler, steps, guidance, size and seeds, with each model's defaults.

# Most VAEs halve a picture three times; a model may want more.
GRAIN = 8
SMALLEST, LARGEST = 64, 4096
MOST_STEPS = 1000  # the noise schedule of Stable Diffusion has no more (2006.11239)
MOST_GUIDANCE = 100.0
MOST_PICTURES = 10_000
# Fresh seeds stay short enough to be read aloud; given ones may fill what torch takes.
FRESH_SEEDS, LARGEST_SEED = 1 << 32, (1 << 63) - 1


@dataclass(frozen=True)
class Wanted:
    """The knobs a user gave; None or "" where the model's default is wanted."""

    steps: int | None = None
    guidance: float | None = None
    size: str = ""
    sampler: str = ""


@dataclass(frozen=True)
class Drawing:
    """Every knob's effective value; `width` and `height` in pixels."""

    sampler: str
    steps: int
    guidance: float
    width: int
    height: int


def check_wanted(wanted: Wanted) -> None:
    """Check the knobs that need no model. Raises Usage naming the knob and its range."""
    if wanted.steps is not None and not 1 <= wanted.steps <= MOST_STEPS:
        raise Usage(f"--steps must be 1 to {MOST_STEPS}, not {wanted.steps}")
    # Written so that nan, which compares as false, is refused too.
    if wanted.guidance is not None and not 0 <= wanted.guidance <= MOST_GUIDANCE:
        raise Usage(f"--guidance must be 0 to {MOST_GUIDANCE:g}, not {wanted.guidance}")
    if wanted.size:
        parse_size(wanted.size)
    if wanted.sampler:
        check_sampler(wanted.sampler)


def settle(wanted: Wanted, source: ModelSource) -> Drawing:
    """Fill what the user left open with the model's defaults.

    Raises Usage as check_wanted does, and where the model knows not this sampler or size.
    """
    check_wanted(wanted)
    sampler, steps, guidance = source.defaults
    if wanted.sampler:
        check_sampler(wanted.sampler, samplers_for(source.family))
    square = (source.size, source.size)
    width, height = parse_size(wanted.size, source.grain) if wanted.size else square
    return Drawing(
        sampler=wanted.sampler or sampler,
        steps=steps if wanted.steps is None else wanted.steps,
        guidance=guidance if wanted.guidance is None else wanted.guidance,
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
    """The seed of picture 0, fresh where none is given; picture i takes seed + i. Raises Usage."""
    if not 1 <= pictures <= MOST_PICTURES:
        raise Usage(f"{pictures} pictures were asked for", f"ask for 1 to {MOST_PICTURES}")
    if given is None:
        return secrets.randbelow(FRESH_SEEDS)
    if not 0 <= given <= LARGEST_SEED - pictures:
        raise Usage(f"--seed cannot be {given}", "use 0 or more, or leave it out for a fresh one")
    return given


# Where pictures are written and what they are called, before any is drawn.

SUFFIX = ".png"
# What a user means as a file, though pictures are only written as PNG.
PICTURE_SUFFIXES = (SUFFIX, ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


@dataclass(frozen=True)
class Place:
    """A folder for pictures; `stem` is the name the user gave, None where prompts give names.

    `shown` stands before a file's name when its path is printed, just as the user typed it.
    `exact` says that the one picture has just that name and suffix.
    """

    folder: Path
    shown: str
    stem: str | None = None
    exact: str = ""


@dataclass(frozen=True)
class Target:
    """One file to write; `path` to open, `shown` to print.

    `stem` is its name before a number made it free; a `fixed` name is the user's own.
    """

    path: Path
    shown: str
    stem: str
    fixed: bool


def find_place(output: str, configured: str, *, several: bool) -> Place:
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
    return Place(path.parent, shown, path.stem, "" if several else path.name)


def plan_targets(place: Place, pictures: Sequence[tuple[str, int]], *, force: bool) -> list[Target]:
    """Name every picture, given as (prompt, seed), such that no two share a file.

    Raises Conflict where a name the user gave is taken already, unless `force`.
    """
    if place.exact:
        return [_fixed(place, place.exact, force)]
    taken: set[str] = set()
    targets = []
    for prompt, seed in pictures:
        stem = f"{place.stem if place.stem is not None else prompt_slug(prompt)}-{seed}"
        if place.stem is not None:
            target = _fixed(place, stem + SUFFIX, force)
        elif force:
            target = next(_numbered(place, stem))
        else:
            target = free_target(place, stem, taken)
        taken.add(target.path.name)
        targets.append(target)
    return targets


def plan_grid(place: Place, prompt: str, seed: int, *, force: bool) -> Target:
    """Name the sheet of all pictures. Raises Conflict as plan_targets does."""
    if place.stem is not None:
        return _fixed(place, f"{place.stem}-grid{SUFFIX}", force)
    stem = f"{prompt_slug(prompt)}-{seed}-grid"
    return next(_numbered(place, stem)) if force else free_target(place, stem)


def free_target(place: Place, stem: str, taken: Collection[str] = ()) -> Target:
    """The first of STEM.png, STEM-2.png … that neither the folder nor `taken` has."""
    return next(
        target
        for target in _numbered(place, stem)
        if target.path.name not in taken and not _exists(target.path)
    )


def prompt_slug(prompt: str) -> str:
    """The part of a picture's name that its prompt gives: "mug-on-the-moon"."""
    return slug(prompt) if re.search(r"[a-z0-9]", prompt.lower()) else "picture"


def _numbered(place: Place, stem: str) -> Iterator[Target]:
    for number in count(1):
        name = f"{stem}{SUFFIX}" if number == 1 else f"{stem}-{number}{SUFFIX}"
        yield Target(place.folder / name, place.shown + name, stem, fixed=False)


def _folder(text: str) -> Place:
    folder = Path(text)
    if folder.exists() and not folder.is_dir():
        raise Conflict(f"{text} is a file, not a folder", "choose another name with -o")
    shown = text if not text or text.endswith("/") else f"{text}/"
    return Place(folder, shown)


def _fixed(place: Place, name: str, force: bool) -> Target:
    target = Target(place.folder / name, place.shown + name, Path(name).stem, fixed=True)
    if target.path.is_dir():
        raise Conflict(f"{target.shown} is a folder", "choose another name with -o")
    if not force and _exists(target.path):
        raise Conflict(
            f"{target.shown} exists already", "choose another name, or --force to overwrite it"
        )
    return target


def _exists(path: Path) -> bool:
    # A dangling link counts: what it points at is not ours to create.
    return path.exists() or path.is_symlink()


STDOUT = "-"


@dataclass(frozen=True)
class Request:
    """All that a user asked for: `count` pictures of each prompt; `output` is -o as typed."""

    negative: str
    nouns: bool
    count: int
    seed: int | None
    wanted: Wanted
    wish: Wish
    output: str
    grid: bool
    force: bool
    any_norm: bool = False


@dataclass(frozen=True)
class Planned:
    """One picture to come; no target means standard output."""

    prompt: ResolvedPrompt
    seed: int
    target: Target | None


@dataclass(frozen=True)
class Plan:
    """Everything decided: what is drawn, with which model, and where each picture goes."""

    pictures: tuple[Planned, ...]
    choice: Choice
    drawing: Drawing
    place: Place | None
    grid: Target | None
    force: bool
    device: str
    dtype: str
    embeddings: Mapping[str, Embedding]

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts of all prompts, each once, in order."""
        found = {
            concept.name: concept for item in self.pictures for concept in item.prompt.concepts
        }
        return tuple(found.values())


def make_plan(
    request: Request, prompts: Sequence[str], library: Library, settings: Settings
) -> Plan:
    """Check and decide everything that needs no model in memory; nothing is written.

    Picture i of the call takes seed + i. Raises the TiErrors of prompts, choosing, drawing and
    naming, and those of a concept whose file is damaged.
    """
    check_wanted(request.wanted)
    total = request.count * len(prompts)
    seed = first_seed(request.seed, total)
    if request.output == STDOUT and (total > 1 or request.grid):
        raise Usage("-o - writes one picture to stdout", "give -o a folder for several")
    wordings = [Wording(prompt, request.negative, request.nouns) for prompt in prompts]
    resolved = resolve(wordings, library)
    drawn = [prompt for prompt in resolved for _ in range(request.count)]
    seeds = range(seed, seed + total)
    place, targets, grid = _places(request, drawn, seeds, settings["output_dir"])
    concepts = {concept.name: concept for prompt in resolved for concept in prompt.concepts}
    if not request.any_norm:
        check_norms(concepts.values())
    choice = choose_model(tuple(concepts.values()), request.wish, settings)
    if request.negative and not choice.source.reads_negative:
        raise Usage(f"{choice.source.id} reads no negative prompt", "leave --negative out")
    return Plan(
        pictures=tuple(map(Planned, drawn, seeds, targets)),
        choice=choice,
        drawing=settle(request.wanted, choice.source),
        place=place,
        grid=grid,
        force=request.force,
        device=check_value("device", request.wish.device or settings["device"]),
        dtype=check_value("dtype", request.wish.dtype or settings["dtype"]),
        embeddings={name: library.embedding(concept) for name, concept in concepts.items()},
    )


def _places(
    request: Request, drawn: list[ResolvedPrompt], seeds: range, configured: str
) -> tuple[Place | None, list[Target] | list[None], Target | None]:
    if request.output == STDOUT:
        return None, [None], None
    place = find_place(request.output, configured, several=len(drawn) > 1)
    typed = [prompt.typed for prompt in drawn]
    force = request.force
    targets = plan_targets(place, list(zip(typed, seeds, strict=True)), force=force)
    grid = plan_grid(place, typed[0], seeds[0], force=force) if request.grid else None
    return place, targets, grid
