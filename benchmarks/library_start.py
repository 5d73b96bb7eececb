"""How fast `ti` answers with a thousand concepts, and that it loads nothing heavy to do so.

    python benchmarks/library_start.py [CONCEPTS] [RUNS]

Fills a library of its own, then times whole processes: the interpreter's start is included, and
shown alone for comparison. Exits 1 where a command loads what it must not.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

BANNED = (
    "torch",
    "numpy",
    "diffusers",
    "transformers",
    "sqlite_utils",
    "pydantic",
    "rich",
    "PIL",
    "yaml",
    "safetensors",
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "ti list | cat": ("list",),
    "ti --help": ("--help",),
    "ti __complete concepts": ("__complete", "concepts"),
}
REPORT = """
import sys
from ticli.__main__ import main
code = main(sys.argv[2:])
print(*(name for name in sys.argv[1].split(",") if name in sys.modules), file=sys.stderr)
sys.exit(code)
"""


def fill(count: int) -> float:
    """Add `count` concepts to the library of this process; return the seconds taken."""
    import numpy as np

    from ticli.concept import BaseModel, Embedding
    from ticli.library.library import Library
    from ticli.library.record import bare_concept
    from ticli.names import parse_token

    draw = np.random.default_rng(0)
    base = BaseModel("sd1", "starter", "0.1", "0" * 64)
    library = Library.open(write=True)
    start = time.perf_counter()
    for number in range(count):
        embedding = Embedding({"clip_l": draw.normal(0, 0.02, (1, 768)).astype(np.float32)})
        concept = bare_concept(parse_token(f"word-{number:05d}-x"), embedding, base)
        library.add(replace(concept, tags=("kitchen", f"set-{number % 20}")), embedding)
    return time.perf_counter() - start


def median_ms(command: Sequence[str], environment: Mapping[str, str], runs: int) -> str:
    """Time a command whose stdout is a pipe; return its median and its fastest in milliseconds."""
    taken = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        taken.append(1000 * (time.perf_counter() - start))
    # The first run may still compile the modules.
    return f"{statistics.median(taken[1:]):8.1f} {min(taken[1:]):8.1f}"


def banned_modules(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Run a command and return which heavy modules it had loaded at its end."""
    command = [sys.executable, "-c", REPORT, ",".join(BANNED), *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return ended.stderr.split()


def main(count: int = 1000, runs: int = 15) -> int:
    """Print one line a command; return the exit code."""
    program = Path(sys.executable).with_name("ti")
    loaded = []
    with tempfile.TemporaryDirectory(prefix="library-start-") as home:
        os.environ["TI_HOME"] = home
        seconds = fill(count)
        environment = {**os.environ, "HOME": home}
        size = (Path(home) / "library.db").stat().st_size
        print(f"{platform.machine()}, Python {platform.python_version()}, medians of {runs} runs")
        print(f"{count} concepts added in {seconds:.1f} s; library.db has {size / 1e6:.1f} MB")
        print(f"{'':24}{'median':>8} {'fastest':>8} ms")
        nothing = median_ms([sys.executable, "-c", ""], environment, runs)
        print(f"{'an empty Python':24}{nothing}")
        for name, arguments in COMMANDS.items():
            line = f"{name:24}{median_ms([str(program), *arguments], environment, runs)}"
            found = banned_modules(arguments, environment)
            loaded += found
            print(line, f"   loads {', '.join(found) or 'nothing heavy'}")
    return 1 if loaded else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
