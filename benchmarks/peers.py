"""Load and save with the real code of other programs, and print which families work.

    python benchmarks/peers.py PEERS_FOLDER [--markdown]
    python benchmarks/peers.py --one NAME FOLDER

PEERS_FOLDER holds a folder for each program, named as its repository and holding a checkout, or an
unpacked package: stable-diffusion-webui, stable-diffusion-webui-forge, ComfyUI, diffusers (its
examples; the loader is the installed one), OneTrainer, sd-scripts, InvokeAI, sdnext, sdkit,
textual_inversion, invoke-training, ai-toolkit, compel, HCP-Diffusion. What is not there is left
out. In place of .git, a folder may have a file COMMIT or VERSION that says what it holds.

Each program's own functions read what `ti` exports, and `ti` reads what they save. Modules that
they import and that have no part in it are stubs, listed below the first table. A cell is
"real code" if the very float32 bits of a known concept arrive through every layout tried. Where a
program is not there, "our reader" says that they arrive by the rules that the tests have written
anew. Runs each program in a process of its own, and exits 1 if one of them fails.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "interop")]

import a1111_reader  # noqa: E402
import comfyui_reader  # noqa: E402
import numpy as np  # noqa: E402
import other_readers  # noqa: E402
import torch  # noqa: E402
from cells import read  # noqa: E402
from format_matrix import TITLES as REAL  # noqa: E402
from format_matrix import table  # noqa: E402
from learned_words import learned, same  # noqa: E402
from peers_common import WIDTHS, Program  # noqa: E402
from peers_drawing import PROGRAMS  # noqa: E402

from ticli.errors import Conflict  # noqa: E402
from ticli.library import CONSUMERS, FOLDER, Extras, Target, export_concepts  # noqa: E402

TITLES = {
    **{family: title for family, title in REAL.items() if family != "starter"},
    "hidream": "HiDream",
    "hunyuanvideo": "HunyuanVideo",
    "cascade": "Cascade",
}
PACKAGES = ("torch", "transformers", "diffusers", "safetensors")
WORKS, OURS, NONE = "real code", "our reader", "-"


def exported(
    folder: Path, target: Target, family: str, consumer: str
) -> tuple[Path, dict[str, np.ndarray]]:
    """Export the known concept under the name that a program needs.

    Returns where it lies, and the vectors that the program has to hold.
    """
    concept, embedding = learned(family)
    export = export_concepts([(concept, embedding)], target.checked(), Extras())
    suffix = "" if export.layout.suffix == FOLDER else export.layout.suffix
    stem = CONSUMERS[consumer].stem(concept.name) if consumer else concept.name
    place = folder / f"{stem}{suffix}"
    for name, content in export.files.items():
        path = place / name if name else place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    program = target.program
    parted = program is not None and set(embedding.rows) == program.whole
    kept = {program.part} if program is not None and parted else set(embedding.rows)
    return place, {key: rows for key, rows in embedding.rows.items() if key in kept}


def check(found: dict[str, Any], wanted: dict[str, np.ndarray]) -> None:
    """Raise ValueError unless the encoders and the bits of their vectors are the same."""
    if found.keys() != wanted.keys():
        raise ValueError(f"vectors for {sorted(found)}, not {sorted(wanted)}")
    for encoder, rows in wanted.items():
        vectors = torch.as_tensor(found[encoder])
        if vectors.shape != rows.shape or not same(vectors, rows):
            raise ValueError(f"other vectors for {encoder}")


@contextlib.contextmanager
def in_folder() -> Iterator[Path]:
    """Give a new folder, and keep the program's own words off the output."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        yield Path(folder)


Load = Callable[[Path, str], dict[str, Any]]


def reading(
    targets: list[Target], family: str, consumer: str, load: Load, good: str
) -> tuple[str, list[str]]:
    """The cell of a program that reads our files, and the layouts that were tried."""
    tried: list[str] = []
    for target in targets:
        with in_folder() as folder:
            try:
                place, wanted = exported(folder, target, family, consumer)
            except Conflict:
                why = target.program.why if target.program is not None else "no such layout"
                return f"refused: {why}", tried
            tried.append(f"--for {target.consumer}" if target.consumer else target.format)
            try:
                check(load(place, family), wanted)
            except Exception as error:  # whatever a program does is an answer
                return f"FAILS with {tried[-1]}: {said(error)}", tried
    return (good if targets else NONE), tried


def writing(program: Program, family: str) -> tuple[str, list[str]]:
    """The cell of a program whose files we read, and the files."""
    if family not in program.saves:
        return NONE, []
    tried: list[str] = []
    with in_folder() as folder:
        _, embedding = learned(family)
        rows = {key: torch.from_numpy(values.copy()) for key, values in embedding.rows.items()}
        try:
            for place in program.write(folder, family, rows):
                inside = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
                tried.append(" + ".join(inside) or place.name)
                _, back = read(place)
                check(dict(back.rows), dict(embedding.rows))
        except Exception as error:  # whatever a program does is an answer
            return f"FAILS with {tried[-1] if tried else 'saving'}: {said(error)}", tried
    return WORKS, tried


def said(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {error}".split("\n")[0][:160]


def one(name: str, folder: Path) -> dict[str, Any]:
    """Try one program."""
    program = PROGRAMS[name](folder)
    reads = {
        family: reading(program.takes(family), family, program.consumer, program.read, WORKS)
        for family in TITLES
    }
    writes = {family: writing(program, family) for family in TITLES}
    return {
        "title": program.title,
        "reads": {family: cell for family, (cell, _) in reads.items()},
        "writes": {family: cell for family, (cell, _) in writes.items()},
        "exports": list(dict.fromkeys(t for _, tried in reads.values() for t in tried)),
        "files": list(dict.fromkeys(t for _, tried in writes.values() for t in tried)),
        "stubs": sorted(
            stub
            for stub in program.stubs
            if not any(other.startswith(f"{stub}.") for other in program.stubs)
        ),
    }


def our_reader(consumer: str, place: Path, family: str) -> dict[str, Any]:
    """Read by the rules that the tests have of a program; NotImplementedError if they have none."""
    encoders = list(WIDTHS[family])
    if consumer in ("a1111", "forge"):
        tensors = a1111_reader.read_word(place)[1]
    elif consumer == "comfyui":
        keys = {key: "t5xxl" if key == "t5" else key for key in encoders}
        loaded = {
            key: comfyui_reader.load_word(place.parent, place.stem, keys[key], width)
            for key, width in WIDTHS[family].items()
        }
        return {key: tensor for key, (tensor, _) in loaded.items() if tensor is not None}
    elif consumer == "invokeai":
        tensors = other_readers.invokeai(place)[2]
    elif consumer == "sdnext":
        widths = {width: key for key, width in WIDTHS[family].items()}
        found = other_readers.sdnext(place, {width: set() for width in widths})[1]
        return {widths[width]: tensor for width, tensor in found.items()}
    elif consumer == "kohya":
        return dict(zip(encoders, other_readers.kohya(place, set())[1], strict=True))
    elif consumer == "onetrainer" and family in other_readers.ONETRAINER_KEYS:
        tensors = other_readers.onetrainer(place, family)
    else:
        raise NotImplementedError
    single = {"one": encoders[0], "emp_params": encoders[0]}
    return {single.get(key, key): tensor for key, tensor in tensors.items()}


def not_there(name: str) -> dict[str, Any]:
    """What can be said of a program without its code."""
    kind = PROGRAMS[name]
    cells = {}
    for family in TITLES:
        targets = [Target(kind.consumer)] if kind.consumer else []
        load = partial(our_reader, kind.consumer)
        cell, _ = reading(targets, family, kind.consumer, load, OURS)
        cells[family] = NONE if "NotImplementedError" in cell else cell
    empty = dict.fromkeys(TITLES, NONE)
    return {"title": kind.title, "reads": cells, "writes": empty, "exports": [], "files": [],
            "stubs": []}  # fmt: skip


def version(folder: Path) -> str:
    """The commit of a checkout, or what a package says of its version."""
    for name in ("COMMIT", "VERSION"):
        if (folder / name).is_file():
            return (folder / name).read_text().strip()
    asked = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--show-toplevel", "HEAD"],
        capture_output=True, text=True,
    ).stdout.split("\n")  # fmt: skip
    if Path(asked[0]).resolve() == folder.resolve() and len(asked) > 1:
        return asked[1]
    for package in folder.glob("*.dist-info"):
        return package.name.removesuffix(".dist-info").replace("-", " ")
    return "unknown version"


def main() -> int:
    """Print the tables, the versions and the stubs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="PEERS_FOLDER")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--one", metavar="NAME", help="try one program; print JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one, given.folder.resolve())))
        return 0
    results = []
    for name in PROGRAMS:
        folder = given.folder / name
        if not folder.is_dir():
            print(f"{name} is not there, and left out", flush=True)
            results.append(not_there(name))
            continue
        print(f"{name}: {version(folder)}", flush=True)
        done = subprocess.run(
            [sys.executable, __file__, "--one", name, str(folder)], capture_output=True, text=True
        )
        if done.returncode:
            why = "FAILS: " + (done.stderr.strip().split("\n")[-1])[:200]
            results.append({**not_there(name), "reads": dict.fromkeys(TITLES, why)})
        else:
            results.append(json.loads(done.stdout.split("\n")[-2]))
    used = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    print(f"with {', '.join(used)}\n")
    for key, text in (
        ("reads", "Files of `ti` in the program's code"),
        ("writes", "Files that the program's code saved in `ti`"),
    ):
        print(f"{text}:\n")
        show(key, results, given.markdown)
    return 1 if any("FAILS" in json.dumps(result) for result in results) else 0


def show(key: str, results: list[dict[str, Any]], markdown: bool) -> None:
    """Print one table, and what was tried with each program."""
    tried = {"reads": "exports", "writes": "files"}[key]
    rows = [[r["title"], *(r[key][family] for family in TITLES)] for r in results]
    rows = [row for row in rows if set(row[1:]) != {NONE}]
    heads = ["program", *TITLES.values()]
    if markdown:
        print(table(heads, rows), end="\n\n")
    else:
        reasons = sorted({cell for row in rows for cell in row[1:] if ": " in cell})
        notes = {reason: f"{reason.partition(' ')[0].rstrip(':')} [{number}]"
                 for number, reason in enumerate(reasons, 1)}  # fmt: skip
        lines = [heads, *([row[0], *(notes.get(cell, cell) for cell in row[1:])] for row in rows)]
        sizes = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            print("  ".join(f"{cell:{size}}" for cell, size in zip(line, sizes, strict=True)))
        print()
        for reason, note in notes.items():
            print(f"{note.partition(' ')[2]} {reason}")
        print()
    for result in results:
        if result[tried]:
            print(f"- {result['title']}: {', '.join(result[tried])}")
        if key == "reads" and result["stubs"]:
            print(f"  stubs: {', '.join(result['stubs'])}")
    print()


if __name__ == "__main__":
    sys.exit(main())
