"""Read many mutations of every kind of file that is accepted, and print what came of it.

    python benchmarks/fuzz_import.py [--inputs 20000] [--seed 0] [--keep FOLDER] [--whole-every 100]

Every input is read as `ti import --all` reads it, up to the library; each hundredth goes through
the whole command, in a folder and a library of its own. Promised: nothing but a refusal in words,
no input over 2 s, no growth over 300 MB, no file left behind. Exits 1 where that broke; --keep
writes the inputs that broke it into a folder.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "hostile")]

import fuzzing  # noqa: E402  # the tests' own mutations

CODES = (0, 1, 2, 4)


def whole_command(data: bytes, folder: Path) -> str:
    """Import bytes by the whole command; what is wrong with that, or ""."""
    from ticli.__main__ import main

    given = folder / "given"
    given.write_bytes(data)
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        code = main(["import", "--all", "--replace", str(given)])
    if code not in CODES or "Traceback" in errors.getvalue():
        return f"exit {code}: {errors.getvalue()[:200]}"
    left = {path.name for path in folder.iterdir()} - {"given", "home"}
    left |= {path.name for path in folder.rglob("*") if ".tmp" in path.name}
    return f"left {left}" if left else ""


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--whole-every", type=int, default=100)
    options = parser.parse_args()
    count = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ |= {"TI_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}
        wrong: list[tuple[str, str, bytes]] = []

        def read(data: bytes) -> None:
            nonlocal count
            count += 1
            if count % options.whole_every == 0 and (fault := whole_command(data, folder)):
                wrong.append(("whole command", fault, data))
            fuzzing.read_as_import(data)

        # What is loaded once belongs to no input.
        fuzzing.fuzz(200, options.seed + 1, fuzzing.read_as_import)
        whole_command(fuzzing.seeds()[0].inner, folder)
        count = 0
        figures = fuzzing.fuzz(options.inputs, options.seed, read)
    faults = figures.faults + wrong
    print(
        f"{figures.inputs:,} inputs from {len(fuzzing.seeds())} seeds in {figures.seconds:.0f} s, "
        f"{count // options.whole_every:,} of them through the whole command\n"
        f"accepted {figures.accepted:,}, refused "
        + ", ".join(f"{n:,} ({kind})" for kind, n in figures.refusals.most_common())
        + f"\nslowest {figures.slowest:.2f} s, growth {figures.growth / 1e6:.0f} MB, "
        f"faults {len(faults)}"
    )
    for number, (name, fault, data) in enumerate(faults):
        print(f"- {name}: {fault}")
        if options.keep is not None:
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{number}.bin").write_bytes(data)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
