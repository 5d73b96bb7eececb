"""A concept as files for other programs: the layout is chosen, then written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ticli.concept import Concept, Embedding
from ticli.errors import Usage
from ticli.library.formats.writing.advice import advice
from ticli.library.formats.writing.consumers import (
    Consumer,
    check_stem,
    consumer_named,
    in_brackets,
)
from ticli.library.formats.writing.layouts import (
    FOLDER,
    LAYOUTS,
    Layout,
    check_fits,
    layout_named,
    lost_of,
)
from ticli.library.formats.writing.package import Extras, Package, pack

DEFAULT_CONSUMER = "diffusers"
# Suffixes that tell a reader how to open a file, and so must not contradict what is in it.
TELLING = {layout.suffix for layout in LAYOUTS.values()} - {FOLDER}


@dataclass(frozen=True)
class Target:
    """What to write for: a program, or a layout in its own right. Neither means diffusers."""

    consumer: str = ""
    format: str = ""

    def checked(self) -> Target:
        """The same, its names known. Raises Usage for an unknown one, or for both at once."""
        if self.consumer and self.format:
            raise Usage("--for chooses the format", "leave --for or --format out")
        if self.format:
            layout_named(self.format)
        else:
            consumer_named(self.consumer or DEFAULT_CONSUMER)
        return self

    @property
    def program(self) -> Consumer | None:
        """The program, or None where a layout was named."""
        return None if self.format else consumer_named(self.consumer or DEFAULT_CONSUMER)

    def layout(self, name: str, encoders: frozenset[str]) -> Layout:
        """The layout of one concept. Raises Conflict where it has no place in it."""
        program = self.program
        layout = layout_named(self.format) if program is None else program.layout(name, encoders)
        check_fits(layout, name, encoders)
        return layout

    def stem(self, name: str) -> str:
        """The name of a concept's file or folder."""
        return name if self.program is None else self.program.stem(name)


@dataclass(frozen=True, eq=False)
class Exported:
    """One concept, or several together, as files: the path of each below their place, its bytes.

    A single file is called "". `lost` is what the layout cannot hold, `notes` what to do next.
    """

    names: tuple[str, ...]
    layout: Layout
    files: Mapping[str, bytes]
    lost: tuple[str, ...]
    notes: tuple[str, ...]


def export_concepts(
    concepts: Sequence[tuple[Concept, Embedding]], target: Target, extras: Extras, stem: str = ""
) -> Exported:
    """Write one concept, or several into one file, where the layout takes them.

    `stem` is the file's name where the user chose one. Raises Conflict (no place for the vectors)
    and Usage (a name that the program cannot address, several where one fits).
    """
    names = tuple(concept.name for concept, _ in concepts)
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
    """Raise Usage where a file's ending would make a reader take it for something else."""
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
    if program is None or not target.consumer:
        return pack(concept, embedding, extras)
    stem = stem or program.stem(concept.name)
    # diffusers takes the token from the file, whatever the file is called.
    named_by_file = program.word is not in_brackets or program.name == "invokeai"
    if named_by_file:
        check_stem(program, stem)
    word = program.word(stem if named_by_file else concept.name)
    return pack(concept, embedding, extras, word, program.title)


def takes_several(target: Target) -> bool:
    """Whether many words go into one file of this layout."""
    return bool(target.format) and layout_named(target.format).several
