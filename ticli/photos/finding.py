"""Find the photos that a user names: folders, files, or paths on stdin."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ticli.errors import BadContent, NotFound, Usage
from ticli.names import did_you_mean
from ticli.photos.kinds import HEAD, Refusal, kind_of, named_as_picture, read_head, why_unreadable

STDIN = "-"
CAPTION_SUFFIXES = (".txt", ".caption")
# Ours, OneTrainer's, and what many scripts write.
MASK_SUFFIXES = (".mask.png", "-masklabel.png", "_mask.png")


@dataclass(frozen=True)
class Found:
    """Files to open, in order; those in `named` were named one by one and may not be left out.

    The counts are of files in folders: hidden ones, and others that are no pictures. `masks` are
    pictures that lie beside a photo as its mask; `captions` counts the photos with a caption.
    """

    files: tuple[Path, ...]
    named: frozenset[Path]
    skipped_hidden: int = 0
    skipped_other: int = 0
    notes: tuple[str, ...] = ()
    masks: tuple[Path, ...] = ()
    captions: int = 0


@dataclass
class _Search:
    """The state of one search; `files` maps what a path really is to the path first given."""

    files: dict[Path, Path] = field(default_factory=dict)
    named: set[Path] = field(default_factory=set)
    hidden: int = 0
    other: int = 0
    folders: int = 0
    notes: list[str] = field(default_factory=list)


def find_photos(arguments: Sequence[str], stdin: bytes | None = None) -> Found:
    """Find the photos of folders (one level deep), files, and `-` for the paths in `stdin`.

    `stdin` is NUL-separated if it holds a NUL, or else one path a line. A file reached twice counts
    once. Raises NotFound for an absent path, and BadContent if there is no photo.
    """
    search = _Search()
    for text in _paths(arguments, stdin):
        if "://" in text:
            raise Usage(f"{text} is an address, not a file", "download the photos first")
        path = Path(text)
        if _is_folder(path):
            _search_folder(search, path)
        else:
            _add(search, path, named=True)
    if not search.files:
        raise _nothing(arguments, search)
    # Also where a pattern named them.
    drawn = (mask for photo in search.files.values() for mask in mask_paths(photo))
    masks = frozenset(search.files.values()) & frozenset(drawn)
    photos = tuple(path for path in search.files.values() if path not in masks)
    return Found(
        photos,
        frozenset(search.named) - masks,
        search.hidden,
        search.other,
        tuple(search.notes),
        tuple(sorted(masks)),
        sum(caption_path(photo) is not None for photo in photos),
    )


def mask_paths(photo: Path) -> list[Path]:
    """Where a photo's mask may lie: PHOTO.mask.png for PHOTO.jpg, or as other tools call it."""
    return [photo.with_name(photo.stem + suffix) for suffix in MASK_SUFFIXES]


def caption_path(photo: Path) -> Path | None:
    """The caption beside a photo, PHOTO.txt first; None if there is none."""
    paths = (photo.with_name(photo.stem + suffix) for suffix in CAPTION_SUFFIXES)
    return next((path for path in paths if os.access(path, os.F_OK)), None)


def describe_skipped(found: Found) -> str:
    """Say what was skipped in folders, such as `skipped 1 hidden file`; "" for nothing."""
    counts = (
        (found.skipped_hidden, "hidden file", "hidden files"),
        (found.skipped_other, "file that is no picture", "files that are no pictures"),
    )
    parts = [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
    return f"skipped {' and '.join(parts)}" if parts else ""


def _paths(arguments: Sequence[str], stdin: bytes | None) -> Iterator[str]:
    if not arguments:
        raise Usage("no photos named", "name a folder, files, or - for paths on stdin")
    read = False
    for argument in arguments:
        if argument != STDIN:
            yield argument
        elif not read:
            read = True
            yield from _listed(stdin)


def _listed(stdin: bytes | None) -> list[str]:
    if stdin is None:
        raise Usage(
            "- reads paths from stdin, and nothing comes from there",
            'pipe them in, such as: find . -name "*.jpg" -print0 | ti invert - --token "<mug>"',
        )
    if b"\0" in stdin:
        lines = stdin.split(b"\0")
    else:
        lines = [line.removesuffix(b"\r") for line in stdin.split(b"\n")]
    paths = [os.fsdecode(line) for line in lines if line]
    if not paths:
        raise BadContent("stdin names no photos", "pipe paths in, one a line")
    return paths


def _is_folder(path: Path) -> bool:
    """Whether a named path is a folder. Raises NotFound; other failures show when it is opened."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        # A link whose target is gone is there, and bad.
        gone = number == errno.ENOENT and not path.is_symlink()
        if gone or isinstance(error, ValueError) or number in (errno.ENOTDIR, errno.ENAMETOOLONG):
            raise NotFound(f"no such file or folder: {path}", _did_you_mean(path)) from error
        return False


def _did_you_mean(path: Path) -> str:
    if any(sign in path.name for sign in "*?["):
        return "the pattern matched no file; name a folder to use every photo in it"
    try:
        siblings = [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        return "check the path"
    return did_you_mean(path.name, siblings, "check the path", lambda name: str(path.parent / name))


def _search_folder(search: _Search, folder: Path) -> None:
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: natural_key(entry.name))
        folders = {entry for entry in entries if entry.is_dir()}
    except OSError as error:
        reason = why_unreadable(folder, error)
        raise BadContent(f"folder {folder} cannot be read: {reason}") from error
    search.folders += len(folders)
    photos: list[Path] = []
    others: list[Path] = []
    for entry in (entry for entry in entries if entry not in folders):
        if entry.name.startswith("."):
            search.hidden += 1
        else:
            (photos if _is_candidate(entry) else others).append(entry)
    for photo in photos:
        _add(search, photo, named=False)
    stems = {photo.stem for photo in photos}
    captions = [o for o in others if o.suffix in CAPTION_SUFFIXES and o.stem in stems]
    search.other += len(others) - len(captions)
    if photos and (inner := [path for path in folders if _holds_pictures(path)]):
        search.notes.append(
            f"the photos in {', '.join(map(str, sorted(inner)))} are not used; to use them, name "
            "their folder too"
        )


def _holds_pictures(folder: Path) -> bool:
    try:
        return folder.name[0] != "." and any(map(named_as_picture, folder.iterdir()))
    except OSError:
        return False


def _is_candidate(path: Path) -> bool:
    """Whether a file is a picture by its content, or promises one by its name."""
    if named_as_picture(path):
        return True
    try:
        return kind_of(read_head(path, HEAD), path).picture
    except Refusal:
        return False


def _add(search: _Search, path: Path, *, named: bool) -> None:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        real = path.absolute()
    first = search.files.setdefault(real, path)
    if first is not path:
        search.notes.append(f"{path} is named twice; it is used once")
    if named:
        search.named.add(first)


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key that puts mug-2 before mug-10."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(1, int(part), "") if n % 2 else (0, 0, part) for n, part in enumerate(parts)], name


def _nothing(arguments: Sequence[str], search: _Search) -> BadContent:
    places = ", ".join(arguments)
    passed = describe_skipped(Found((), frozenset(), search.hidden, search.other))
    if search.folders:
        passed = f"{passed}; " if passed else ""
        hint = f"{passed}folders inside it are not searched: name the one that holds the photos"
    else:
        hint = passed or "it is empty"
    return BadContent(f"no photos in {places}", hint)
