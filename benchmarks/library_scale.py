"""How fast the library answers with 1 000, 10 000 and 100 000 concepts.

    python benchmarks/library_scale.py [--sizes 1000,10000,100000] [--runs 5] [--keep FOLDER]

Fills libraries of their own with made-up concepts and real files, then times whole processes whose
stdout is a pipe: the interpreter's start is included, and shown alone for comparison. Prints a
Markdown table of medians; memory is the largest of any run. With --keep the libraries stay in
FOLDER and are used again. Exits 1 where a command fails.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SIZES = (1_000, 10_000, 100_000)
PROGRAM = str(Path(sys.executable).with_name("ti"))
NEW = "<brand-new>"


@dataclass(frozen=True)
class Case:
    """A command to time, and one that undoes what it changed."""

    label: str
    arguments: tuple[str, ...]
    undo: tuple[str, ...] = ()
    code: int = 0


@dataclass(frozen=True)
class Taken:
    """What one process took: seconds by the clock and of the processor, MiB at most."""

    wall: float
    processor: float
    memory: float
    out: bytes = b""


def cases(home: Path) -> tuple[Case, ...]:
    """The commands, with the name of some concept and a file to import."""
    listed = run((PROGRAM, "list", "-q", "--limit", "500"), home)
    name = listed.out.split()[-1].decode()
    one = str(home.parent / "one.safetensors")
    run((PROGRAM, "export", name, "-o", one, "--force"), home)
    return (
        Case("ti list", ("list",)),
        Case("ti list --json", ("list", "--json")),
        Case("ti list -q", ("list", "-q")),
        Case("ti list --sort used:desc --limit 20", ("list", "--sort", "used:desc", "--limit=20")),
        Case("ti list '*mug*'", ("list", "*mug*")),
        Case("ti list --tag set-3 --limit 20", ("list", "--tag", "set-3", "--limit", "20")),
        Case("ti search, one match", ("search", name)),
        Case("ti search, a tenth matches, 20 shown", ("search", "teapot", "--limit", "20")),
        Case("ti search, a third matches", ("search", "kiln")),
        Case("ti search, no word, a part of one", ("search", "eapo", "--limit", "20")),
        Case("ti search, nothing", ("search", "qqqq")),
        Case("ti show", ("show", name)),
        Case("ti show, no such name", ("show", "no-such-name"), code=3),
        Case("Tab: concepts", ("__complete", "concepts", "red")),
        Case("Tab: tags", ("__complete", "tags", "set")),
        Case("ti import of one", ("import", one, "--token", NEW), undo=("rm", "-y", NEW)),
        Case("ti tag", ("tag", name, "--note", "x")),
        Case("ti doctor --fast", ("doctor", "--fast")),
    )


def run(command: Sequence[str], home: Path, code: int = 0) -> Taken:
    """Run a command on the library at `home`, its stdout a pipe that is read to its end."""
    environment: Mapping[str, str] = {**os.environ, "TI_HOME": str(home), "HOME": str(home)}
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    out = process.stdout.read(1 << 20)
    while process.stdout.read(1 << 20):
        pass
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode != code:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    # Linux counts in KiB, macOS in bytes.
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Taken(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit, out)


def measure(case: Case, home: Path, runs: int) -> Taken:
    """Run a case once to warm up, then `runs` times; return medians and the most memory."""
    taken = []
    for _ in range(runs + 1):
        taken.append(run((PROGRAM, *case.arguments), home, case.code))
        if case.undo:
            run((PROGRAM, *case.undo), home)
    timed = taken[1:]
    return Taken(
        statistics.median(one.wall for one in timed),
        statistics.median(one.processor for one in timed),
        max(one.memory for one in taken),
    )


@contextlib.contextmanager
def folder(kept: Path | None) -> Iterator[Path]:
    """The folder of the libraries: a kept one, or one that goes away again."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="library-scale-") as name:
        yield Path(name)


def library(root: Path, count: int) -> Path:
    """The home of a library of that many concepts, built where it is not there yet."""
    home = root / f"{count}"
    if not (home / "library.db").exists():
        shutil.rmtree(home, ignore_errors=True)
        start = time.perf_counter()
        # A process of its own: what is timed is not to inherit the memory of this one.
        builder = Path(__file__).with_name("library_of.py")
        subprocess.run([sys.executable, str(builder), str(home), str(count)], check=True)
        taken = time.perf_counter() - start
        size = (home / "library.db").stat().st_size
        print(
            f"{count:,} concepts built in {taken:.0f} s, library.db has {size / 1e6:.0f} MB",
            file=sys.stderr,
        )
    return home


def main() -> None:
    """Build, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    with folder(options.keep) as root:
        homes = {size: library(root, size) for size in sizes}
        start = statistics.median(
            run((sys.executable, "-c", ""), root).wall for _ in range(options.runs + 1)
        )
        print(f"An empty Python takes {1000 * start:.0f} ms. Wall / processor ms, peak MiB:\n")
        print(f"| command | {' | '.join(f'{size:,} concepts' for size in sizes)} |")
        print(f"|---|{'--:|' * len(sizes)}")
        for number, case in enumerate(cases(homes[sizes[0]])):
            cells = []
            for home in homes.values():
                taken = measure(cases(home)[number], home, options.runs)
                cells.append(
                    f"{1000 * taken.wall:.0f} / {1000 * taken.processor:.0f}, {taken.memory:.0f}"
                )
            print(f"| {case.label} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
