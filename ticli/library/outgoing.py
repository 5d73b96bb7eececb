"""Concepts on their way out: which file each becomes, and writing them all or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ticli.concept import Concept
from ticli.durable import make_folder, write_file
from ticli.errors import Conflict, TiError, Usage
from ticli.library.formats.exporting import (
    Exported,
    Target,
    check_suffix,
    export_concepts,
    takes_several,
)
from ticli.library.formats.writing.archive import zip_file
from ticli.library.formats.writing.layouts import FOLDER
from ticli.library.formats.writing.package import Extras
from ticli.library.library import Library
from ticli.paths import places

ZIP = ".zip"
# An exported file is there to be handed on: readable like any other file, less the umask.
FILE_MODE, FOLDER_MODE = 0o666, 0o777


@dataclass(frozen=True, eq=False)
class Outgoing:
    """One file to write: where, as the user wrote it, and its bytes.

    `parts` are the exports that lie in it, each with the name it has there: "" where the file is
    that export itself.
    """

    path: Path
    content: bytes
    parts: tuple[tuple[str, Exported], ...]


@dataclass(frozen=True)
class Order:
    """What the user asked for: names, what to write them for, and where; "" is the folder here."""

    names: tuple[str, ...]
    target: Target
    extras: Extras
    output: str = ""

    @property
    def one_file(self) -> bool:
        """Whether `output` names a file, and not a folder to put files into."""
        place = Path(self.output)
        if not self.output or self.output.endswith("/") or place.is_dir():
            return False
        return len(self.names) == 1 or (takes_several(self.target) and bool(place.suffix))


def export_content(library: Library, order: Order) -> tuple[bytes, list[Exported]]:
    """The bytes for a pipe: one file as it is, several as a zip.

    Raises NotFound, BadContent, Usage and Conflict.
    """
    exports = _each(library, order)
    if len(exports) == 1 and "" in exports[0].files:
        return exports[0].files[""], exports
    return _zipped(order, exports), exports


def plan_files(library: Library, order: Order) -> list[Outgoing]:
    """Build every file's bytes and choose its path; nothing is written yet.

    The output is a zip where it ends so; a file for one concept, or for several where the layout
    takes them; it is a folder for several, where it is one, or where it ends in a slash. A concept
    of several files gets a folder. Raises Usage where several would share a file.
    """
    place = Path(order.output)
    if place.suffix.lower() == ZIP and not order.output.endswith("/") and not place.is_dir():
        exports = _each(library, order)
        members = tuple((_place_in(order.target, e), e) for e in exports)
        return [Outgoing(place, _zipped(order, exports), members)] if exports else []
    if order.one_file:
        return _as_named(library, order, place)
    if place.exists() and not place.is_dir():
        raise Usage(
            f"{order.output} is a file, and {len(order.names)} concepts need a folder",
            "-o FOLDER/ or -o FILE.zip",
        )
    return [
        outgoing
        for exported in _each(library, order)
        for outgoing in _laid_out(exported, place / _place_in(order.target, exported))
    ]


def write_files(files: Sequence[Outgoing], output: str, force: bool) -> None:
    """Write all files. Raises Conflict before the first where one exists and not `force`.

    A link in a file's place counts as a file, and is never followed; the library's own files are
    never written over. A failure on the way names the finished paths under `completed`.
    """
    _refuse_library([file.path for file in files])
    # What is a link to nothing does not exist, and still is in the way.
    taken = [file.path for file in files if file.path.is_symlink() or file.path.exists()]
    if taken and not force:
        said = ", ".join(map(str, taken))
        raise Conflict(f"{said} exists already", "add --force, or another -o")
    if folder := next((path for path in taken if path.is_dir() and not path.is_symlink()), None):
        raise Conflict(f"{folder} is a folder, where a file is to be written", "give another -o")
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


def _refuse_library(paths: Sequence[Path]) -> None:
    """Refuse to write where the library keeps its words. Raises Conflict."""
    here = places()
    kept = [place.resolve() for place in (here.blobs, here.runs, here.cache)]
    for path in paths:
        target = path.parent.resolve() / path.name
        if target == here.database.resolve() or any(map(target.is_relative_to, kept)):
            raise Conflict(f"{path} lies where the library keeps its words", "give another -o")


def _each(library: Library, order: Order) -> list[Exported]:
    return [_export(library, order, [each]) for each in library.get_all(order.names)]


def _export(
    library: Library, order: Order, concepts: Sequence[Concept], stem: str = ""
) -> Exported:
    loaded = [(concept, library.embedding(concept)) for concept in concepts]
    return export_concepts(loaded, order.target, order.extras, stem)


def _as_named(library: Library, order: Order, place: Path) -> list[Outgoing]:
    """One file, or for a concept of several files one folder, with the name the user chose."""
    exported = _export(library, order, library.get_all(order.names), place.stem)
    check_suffix(place.suffix, exported.layout)
    return _laid_out(exported, place)


def _laid_out(exported: Exported, place: Path) -> list[Outgoing]:
    return [
        Outgoing(place / name if name else place, content, (("", exported),))
        for name, content in exported.files.items()
    ]


def _place_in(target: Target, exported: Exported) -> str:
    """The name of an export's file or folder among others."""
    suffix = exported.layout.suffix
    return target.stem(exported.names[0]) + ("" if suffix == FOLDER else suffix)


def _zipped(order: Order, exports: Sequence[Exported]) -> bytes:
    members = []
    for exported in exports:
        place = _place_in(order.target, exported)
        files = {f"{place}/{n}" if n else place: data for n, data in exported.files.items()}
        members.append((exported.names[0], files))
    return zip_file(members)
