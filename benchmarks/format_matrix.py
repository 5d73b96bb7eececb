"""Try every layout with every model family, out and in, and write the tables of docs/formats.md.

python benchmarks/format_matrix.py            tries every cell and prints the tables
python benchmarks/format_matrix.py --write    and puts them into the page
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "formats.md"
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "interop")]

from cells import CELLS, DIRECTIONS, try_cell  # noqa: E402
from learned_words import FAMILIES  # noqa: E402

from ticli.errors import Conflict  # noqa: E402
from ticli.library.exporting import Target  # noqa: E402
from ticli.library.formats.programs import CONSUMERS  # noqa: E402
from ticli.library.formats.write_layouts import (  # noqa: E402
    ASPECTS,
    LAYOUTS,
)

Cells = Mapping[tuple[str, str], Mapping[str, bool]]
TITLES = {
    "sd1": "SD 1",
    "sd2": "SD 2",
    "sdxl": "SDXL",
    "sd3": "SD 3",
    "flux": "Flux",
    "pixart": "PixArt",
    "sana": "Sana",
    "starter": "starter",
}
SIGNS = {"export": "e", "import": "i", "round trip": "r"}


def expected() -> Cells:
    """What the table of layouts says; the tests hold it to that."""
    return {
        (layout, family): dict.fromkeys(DIRECTIONS, (layout, family) in CELLS)
        for layout in LAYOUTS
        for family in FAMILIES
    }


def tried() -> Cells:
    """What every cell does, tried now."""
    found = {}
    for cell in expected():
        with tempfile.TemporaryDirectory() as folder:
            found[cell] = try_cell(Path(folder), *cell)
    return found


def tables(cells: Cells) -> dict[str, str]:
    """The Markdown tables of the page, by the name of their place in it."""
    return {
        "matrix": matrix(cells),
        "kept": kept(),
        "programs": programs(),
    }


def matrix(cells: Cells) -> str:
    """Layouts by families; each letter of a cell is one direction that gives the same bits."""
    rows = []
    for layout in LAYOUTS.values():
        marks = []
        for family in FAMILIES:
            works = cells[layout.name, family]
            marks.append("".join(SIGNS[d] for d in DIRECTIONS if works[d]) or "–")
        rows.append([f"`{layout.name}`", layout.title, f"`{layout.suffix}`", *marks])
    return table(["`--format`", "what it is", "file", *TITLES.values()], rows)


def kept() -> str:
    """Layouts by what comes back beside the vectors."""
    rows = [
        [f"`{layout.name}`", *("yes" if aspect in layout.keeps else "no" for aspect in ASPECTS)]
        for layout in LAYOUTS.values()
    ]
    return table(["`--format`", *ASPECTS], rows)


def programs() -> str:
    """Programs by families: the layout, the file of a word `mug`, and what to write in a prompt."""
    rows = []
    for consumer in CONSUMERS.values():
        marks = []
        for family, widths in FAMILIES.items():
            if family != "starter":
                try:
                    marks.append(f"`{Target(consumer.name).layout('mug', frozenset(widths)).name}`")
                except Conflict:
                    marks.append("–")
        stem = consumer.stem("mug")
        word = "mug" if consumer.name in ("concept-repo", "diffusers", "ti") else stem
        reason = f"{consumer.why}" if "–" in marks else ""
        name = f"`--for {consumer.name}`"
        rows.append([name, *marks, f"`{stem}`", f"`{consumer.word(word)}`", reason])
    families = [title for family, title in TITLES.items() if family != "starter"]
    return table(["program", *families, "file", "in a prompt", "why not the others"], rows)


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def filled(page: str, parts: Mapping[str, str]) -> str:
    """The page with each table between its marks."""
    for name, text in parts.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(start)
        _, mark, after = rest.partition(end)
        if not mark:
            raise SystemExit(f"{PAGE.name} has no place for the table {name!r}")
        page = f"{before}{start}\n{text}\n\n{mark}{after}"
    return page


def main() -> None:
    """Try all cells; say whether they are what the table says."""
    found = tried()
    parts = tables(found)
    for text in parts.values():
        print(text, end="\n\n")
    works = sum(works[d] for works in found.values() for d in DIRECTIONS)
    print(f"{works} of {len(CELLS) * len(DIRECTIONS)} directions of {len(CELLS)} cells work")
    if found != expected():
        raise SystemExit("this is not what the table of layouts says")
    if "--write" in sys.argv[1:]:
        PAGE.write_text(filled(PAGE.read_text("utf-8"), parts), "utf-8")


if __name__ == "__main__":
    main()
