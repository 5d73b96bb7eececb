"""Concepts on their way out: which file each becomes, and writing them all or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ticli.durable import make_folder, write_file
from ticli.errors import Conflict, TiError, Usage
from ticli.library.formats.exporting import export_bytes
from ticli.library.library import Library

SUFFIX = ".safetensors"
# An exported file is there to be handed on: readable like any other file, less the umask.
FILE_MODE, FOLDER_MODE = 0o666, 0o777


@dataclass(frozen=True)
class Outgoing:
    """One file to write: the concept's name, the bytes, and the path as the user wrote it."""

    name: str
    content: bytes
    path: Path


def export_content(library: Library, name: str, format: str) -> bytes:
    """The bytes of a concept in a layout. Raises NotFound, BadContent, Usage and Conflict."""
    concept = library.get(name)
    return export_bytes(concept, library.embedding(concept), format)


def plan_files(library: Library, names: Sequence[str], format: str, output: str) -> list[Outgoing]:
    """Build every file's bytes and choose its path; nothing is written yet.

    `output` is a file for one concept; it is a folder for several, where it is one, or where it
    ends in a slash. "" is the current folder. Raises Usage where several would share a file.
    """
    place = Path(output)
    if output and len(names) == 1 and not output.endswith("/") and not place.is_dir():
        paths = [place]
    elif place.exists() and not place.is_dir():
        raise Usage(f"{output} is a file, and {len(names)} concepts need a folder", "-o FOLDER/")
    else:
        paths = [place / f"{name}{SUFFIX}" for name in names]
    return [
        Outgoing(name, export_content(library, name, format), path)
        for name, path in zip(names, paths, strict=True)
    ]


def write_files(files: Sequence[Outgoing], output: str, force: bool) -> None:
    """Write all files. Raises Conflict before the first where one exists and not `force`.

    A failure on the way names the finished paths under `completed`.
    """
    taken = [str(file.path) for file in files if not force and file.path.exists()]
    if taken:
        raise Conflict(f"{', '.join(taken)} exists already", "add --force, or another -o")
    completed: list[str] = []
    try:
        for file in files:
            # A folder that was asked for is made; a missing one on the way to a file is a typo.
            if file.path != Path(output):
                make_folder(file.path.parent, FOLDER_MODE)
            write_file(file.path, file.content, replace=force, mode=FILE_MODE)
            completed.append(str(file.path))
    except TiError as error:
        error.details["completed"] = completed
        raise
