"""Where pictures are written and what they are called, before any is drawn."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from ticli.errors import Conflict, Usage
from ticli.names import slug

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
