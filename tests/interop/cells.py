"""One cell of the matrix: a layout with a family, out, in, and both ways, each really done."""

from __future__ import annotations

from pathlib import Path

import torch
from foreign_files import WRITERS
from learned_words import FAMILIES, learned

from ticli.concept import Embedding
from ticli.errors import TiError
from ticli.library import (
    FOLDER,
    LAYOUTS,
    Extras,
    Target,
    Wanted,
    choose_words,
    export_concepts,
    join_pairs,
    open_sources,
    read_source,
)

DIRECTIONS = ("export", "import", "round trip")
CELLS = [
    (layout.name, family)
    for layout in LAYOUTS.values()
    for family, widths in FAMILIES.items()
    if layout.takes(frozenset(widths))
]
REFUSED = [
    (layout.name, family)
    for layout in LAYOUTS.values()
    for family in FAMILIES
    if (layout.name, family) not in CELLS
]


def write(folder: Path, layout: str, family: str, vectors: int) -> tuple[Path, Embedding]:
    """Export a word; where it lies, and its vectors. Raises what an export raises."""
    concept, embedding = learned(family, vectors)
    exported = export_concepts([(concept, embedding)], Target(format=layout), Extras())
    suffix = "" if exported.layout.suffix == FOLDER else exported.layout.suffix
    place = folder / f"mug{suffix}"
    for name, content in exported.files.items():
        path = place / name if name else place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return place, embedding


def write_foreign(folder: Path, layout: str, family: str, vectors: int) -> tuple[Path, Embedding]:
    """The same word as another program writes it."""
    _, embedding = learned(family, vectors)
    rows = {encoder: torch.from_numpy(table.copy()) for encoder, table in embedding.rows.items()}
    folder.mkdir(exist_ok=True)
    return WRITERS[layout](folder, rows), embedding


def read(place: Path) -> tuple[str, Embedding]:
    """Read a file or folder as `ti import` does, up to the library; name and vectors."""
    with open_sources(place) as sources:
        files = join_pairs([read_source(source, Wanted()) for source in sources])
        (incoming,) = [word for file in files for word in choose_words(file, Wanted())]
    return incoming.concept.name, incoming.embedding


def same_bits(left: Embedding, right: Embedding) -> bool:
    """Whether two embeddings have the same encoders and the same float32 bits."""
    return left.rows.keys() == right.rows.keys() and all(
        rows.dtype == right.rows[encoder].dtype and rows.tobytes() == right.rows[encoder].tobytes()
        for encoder, rows in left.rows.items()
    )


def try_cell(folder: Path, layout: str, family: str, vectors: int = 3) -> dict[str, bool]:
    """What works of a cell, by direction."""
    try:
        place, embedding = write(folder / "out", layout, family, vectors)
        exported = True
    except TiError:
        return dict.fromkeys(DIRECTIONS, False)
    back = read(place)
    foreign, wanted = write_foreign(folder / "in", layout, family, vectors)
    found = read(foreign)
    return {
        "export": exported,
        "import": same_bits(found[1], wanted),
        "round trip": back[0] == "mug" and same_bits(back[1], embedding),
    }
