"""Export concepts: choose the file of each, and write all of them or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ticli.concept import UNKNOWN_BASE, Concept, Embedding
from ticli.durable import make_folder, write_file
from ticli.errors import Conflict, TiError, Usage
from ticli.library.formats.metadata import Extras, Package, pack
from ticli.library.formats.programs import Consumer, advice, check_stem, consumer_named, in_brackets
from ticli.library.formats.torch_write import zip_file
from ticli.library.formats.write_layouts import (
    FOLDER,
    LAYOUTS,
    Layout,
    check_fits,
    layout_named,
    lost_of,
)
from ticli.library.library import Library
from ticli.paths import places

DEFAULT_CONSUMER = "diffusers"
# Readers choose by these suffixes how to open a file, so they must fit its content.
TELLING = {layout.suffix for layout in LAYOUTS.values()} - {FOLDER}


@dataclass(frozen=True)
class Target:
    """A program or a layout to write for. Neither means diffusers.

    `any_name` takes a file name that the program would not find in a prompt.
    """

    consumer: str = ""
    format: str = ""
    any_name: bool = False

    def checked(self) -> Target:
        """Return self. Raises Usage for an unknown name, or for a program and a layout at once."""
        if self.consumer and self.format:
            raise Usage("--for chooses the format", "leave --for or --format out")
        if self.format:
            layout_named(self.format)
        else:
            consumer_named(self.consumer or DEFAULT_CONSUMER)
        return self

    @property
    def program(self) -> Consumer | None:
        """The program, or None if a layout was named."""
        return None if self.format else consumer_named(self.consumer or DEFAULT_CONSUMER)

    def layout(self, name: str, encoders: frozenset[str]) -> Layout:
        """The layout of one concept. Raises Conflict if its vectors do not fit."""
        program = self.program
        layout = layout_named(self.format) if program is None else program.layout(name, encoders)
        check_fits(layout, name, encoders)
        return layout

    def stem(self, name: str) -> str:
        """The name of a concept's file or folder."""
        return name if self.program is None else self.program.stem(name)


@dataclass(frozen=True, eq=False)
class Exported:
    """One concept, or several together, as files: the relative path and bytes of each.

    A single file is called "". `lost` is what the layout cannot hold; `notes` say what to do next.
    """

    names: tuple[str, ...]
    layout: Layout
    files: Mapping[str, bytes]
    lost: tuple[str, ...]
    notes: tuple[str, ...]


def export_concepts(
    concepts: Sequence[tuple[Concept, Embedding]], target: Target, extras: Extras, stem: str = ""
) -> Exported:
    """Turn one concept into files, or several into one file if the layout allows it.

    `stem` is the file's name if the user chose one. Raises Conflict (the vectors do not fit) and
    Usage (the program cannot address the name, or the layout holds one concept only).
    """
    names = tuple(concept.name for concept, _ in concepts)
    if (program := target.program) is not None and program.part:
        concepts = [_part_of(concept, rows, program) for concept, rows in concepts]
    chosen = [target.layout(c.name, frozenset(e.rows)) for c, e in concepts]
    layout = chosen[0]
    if len(set(chosen)) > 1 or (len(names) > 1 and not layout.several):
        raise Usage(
            f"a {layout.name} file holds one concept, not {len(names)}",
            "give a folder or a .zip with -o, or --format original-pt",
        )
    packages = [_packed(concept, rows, target, extras, stem) for concept, rows in concepts]
    written = layout.write(packages)
    lost = [aspect for package in packages for aspect in lost_of(package.concept, layout)]
    return Exported(
        names,
        layout,
        {"": written} if isinstance(written, bytes) else written,
        tuple(dict.fromkeys(lost)),
        tuple(advice(packages, layout, target.consumer)),
    )


def export_bytes(concept: Concept, embedding: Embedding, format: str = "diffusers") -> bytes:
    """The bytes of one concept in a layout of one file. Raises Usage and Conflict."""
    target = Target(format=format).checked()
    exported = export_concepts([(concept, embedding)], target, Extras())
    if "" not in exported.files:
        raise Usage(f"the {format} layout is a folder of files", "choose another")
    return exported.files[""]


def check_suffix(suffix: str, layout: Layout) -> None:
    """Raise Usage for a suffix that would mislead a reader about the file."""
    if suffix.lower() in TELLING and suffix.lower() != layout.suffix:
        kind = "a folder" if layout.suffix == FOLDER else f"a {layout.suffix} file"
        raise Usage(
            f"a file ending in {suffix} is not what the {layout.name} layout is: {kind}",
            "give -o another ending, or choose another --format",
        )


def _packed(
    concept: Concept, embedding: Embedding, target: Target, extras: Extras, stem: str
) -> Package:
    program = target.program
    if program is None:
        return pack(concept, embedding, extras)
    stem = stem or program.stem(concept.name)
    # diffusers takes the token from the file, whatever the file is called.
    named_by_file = program.word is not in_brackets or program.name == "invokeai"
    if named_by_file and not target.any_name:
        check_stem(program, stem)
    word = program.word(stem if named_by_file else concept.name)
    return pack(concept, embedding, extras, word, program.title)


def _part_of(
    concept: Concept, embedding: Embedding, program: Consumer
) -> tuple[Concept, Embedding]:
    """What a program reads of vectors that it cannot read whole; they fit the base no more."""
    if set(embedding.rows) != program.whole:
        return concept, embedding
    part = Embedding({program.part: embedding.rows[program.part]})
    return replace(concept, base=UNKNOWN_BASE), part


def takes_several(target: Target) -> bool:
    """Whether one file of this layout holds several concepts."""
    return bool(target.format) and layout_named(target.format).several


ZIP = ".zip"
# Exported files are meant for others: as readable as the umask allows.
FILE_MODE, FOLDER_MODE = 0o666, 0o777


@dataclass(frozen=True, eq=False)
class Outgoing:
    """One file to write: its path, as the user gave it, and its bytes.

    `parts` are the exports in it, each with its name there; "" if the file is that export itself.
    """

    path: Path
    content: bytes
    parts: tuple[tuple[str, Exported], ...]


@dataclass(frozen=True)
class Order:
    """What the user asked for: names, a target, and where to write; "" is the current folder."""

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
    """Build every file's bytes and choose its path; write nothing yet.

    An output that ends in .zip is a zip. It is a folder if it exists as one, ends in a slash, or is
    for several concepts that cannot share a file. A concept of several files gets a folder. Raises
    Usage if several concepts would have to share a file.
    """
    place = Path(order.output)
    if place.suffix.lower() == ZIP and not order.output.endswith("/") and not place.is_dir():
        exports = _each(library, order)
        members = tuple((_place_in(order.target, e), e) for e in exports)
        return [Outgoing(place, _zipped(order, exports), members)] if exports else []
    if order.one_file:
        exported = _export(library, order, library.get_all(order.names), place.stem)
        check_suffix(place.suffix, exported.layout)
        return _laid_out(exported, place)
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
    """Write all files. Without `force`, raises Conflict before the first if one exists.

    Never follows a link in a file's place, and never writes over the library's own files. A failure
    on the way lists the finished paths under `completed`.
    """
    _refuse_library([file.path for file in files])
    # A broken link does not exist, and still is in the way.
    taken = [file.path for file in files if file.path.is_symlink() or file.path.exists()]
    if taken and not force:
        said = ", ".join(map(str, taken))
        raise Conflict(f"{said} exists already", "add --force, or another -o")
    if folder := next((path for path in taken if path.is_dir() and not path.is_symlink()), None):
        raise Conflict(f"{folder} is a folder, not a file to write to", "give another -o")
    completed: list[str] = []
    try:
        for file in files:
            # Make a folder that the user asked for; a missing parent of a named file is a typo.
            if file.path != Path(output):
                make_folder(file.path.parent, FOLDER_MODE)
            write_file(file.path, file.content, replace=force, mode=FILE_MODE)
            completed.append(str(file.path))
    except TiError as error:
        error.details["completed"] = completed
        raise


def _refuse_library(paths: Sequence[Path]) -> None:
    """Raise Conflict for a path inside the library."""
    here = places()
    kept = [place.resolve() for place in (here.blobs, here.runs, here.cache)]
    for path in paths:
        target = path.parent.resolve() / path.name
        if target == here.database.resolve() or any(map(target.is_relative_to, kept)):
            raise Conflict(f"{path} lies inside the library", "give another -o")


def _each(library: Library, order: Order) -> list[Exported]:
    return [_export(library, order, [each]) for each in library.get_all(order.names)]


def _export(
    library: Library, order: Order, concepts: Sequence[Concept], stem: str = ""
) -> Exported:
    loaded = [(concept, library.embedding(concept)) for concept in concepts]
    return export_concepts(loaded, order.target, order.extras, stem)


def _laid_out(exported: Exported, place: Path) -> list[Outgoing]:
    return [
        Outgoing(place / name if name else place, content, (("", exported),))
        for name, content in exported.files.items()
    ]


def _place_in(target: Target, exported: Exported) -> str:
    """The name of an export's file or folder."""
    suffix = exported.layout.suffix
    return target.stem(exported.names[0]) + ("" if suffix == FOLDER else suffix)


def _zipped(order: Order, exports: Sequence[Exported]) -> bytes:
    members = []
    for exported in exports:
        place = _place_in(order.target, exported)
        files = {f"{place}/{n}" if n else place: data for n, data in exported.files.items()}
        members.append((exported.names[0], files))
    return zip_file(members)
