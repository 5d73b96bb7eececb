"""Try every hostile file of the corpus in a process of its own and print what was answered.

    python benchmarks/corpus_table.py [--items 1-55]

The last call of each case is timed, start-up of `ti` included, with the peak of its memory and
that of `ti --version` for comparison. Prints one row an item as Markdown: its cases, the answer
that is wanted, how many cases gave it, the slowest time and the largest memory of them. Exits 1
where an answer was another.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "hostile"))

import corpus  # noqa: E402  # the tests' own cases
from crafted import Case  # noqa: E402

LIMIT = 60.0
ANSWERS = {"R": "refused", "A": "accepted", "W": "accepted, warns", "S": "shown harmless"}


@dataclass(frozen=True)
class Done:
    """One call: exit code, what it wrote, seconds, seconds of processor, peak memory in MB."""

    code: int
    out: str
    err: str
    seconds: float
    busy: float
    megabytes: float


def call(folder: Path, home: Path, *arguments: str) -> Done:
    """Run `ti` in a process of its own and wait for it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TI_", "HF_"))}
    environment |= {"TI_HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "ticli", *arguments],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "replace"))
    unit = 1 if sys.platform == "darwin" else 1024
    busy = usage.ru_utime + usage.ru_stime
    return Done(process.returncode, *texts, seconds, busy, usage.ru_maxrss * unit / 1e6)


def built(case: Case, folder: Path) -> list[list[str]]:
    """Write a case's files in a process that is forked for it, and return its calls.

    A child's peak of memory counts its parent's from before it began: this process loads no torch.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with contextlib.chdir(folder), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                calls = json.dumps(case.build(folder))
            with os.fdopen(writing, "w") as stream:
                stream.write(calls)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    if not text:
        raise RuntimeError(f"{case.id} could not be built")
    return json.loads(text)


def judged(case: Case) -> tuple[Done, str]:
    """The answer to a case, and what is wrong with it."""
    with tempfile.TemporaryDirectory() as place:
        folder, home = Path(place, "given"), Path(place, "home", "ti")
        folder.mkdir()
        *calls, last = built(case, folder)
        before = set(folder.rglob("*"))
        worst = None
        for arguments in calls:
            if arguments == ["!tamper"]:
                corpus.tamper(home)
                continue
            done = call(folder, home, *arguments)
            if case.answer == "S" and (fault := corpus.fault_in(case, 0, done.out, done.err)):
                return done, fault
            worst = max((d for d in (worst, done) if d), key=lambda d: d.seconds)
        done = call(folder, home, *last)
        fault = corpus.fault_in(case, done.code, done.out, done.err)
        appeared = corpus.left_behind(folder, home, before)
        if last[0] == "export" and case.answer == "A":
            appeared -= {folder / last[last.index("-o") + 1]}
        if not fault and appeared:
            fault = f"left {appeared}"
        if case.answer == "S" and worst is not None:
            done = max(done, worst, key=lambda d: d.seconds)
        return done, fault


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", default="1-55", metavar="FIRST-LAST")
    first, last = map(int, parser.parse_args().items.split("-"))
    start = call(ROOT, ROOT / "none", "--version")
    print(f"`ti --version`: {start.seconds:.2f} s, {start.busy:.2f} s, {start.megabytes:.0f} MB\n")
    print("| item | cases | answers | as wanted | slowest | of it processor | peak memory |")
    print("|---|---|---|---|---|---|---|")
    good = total = 0
    faults = []
    for item in range(first, last + 1):
        cases = [case for case in corpus.CASES if case.item == item]
        results = [(case, *judged(case)) for case in cases]
        wrong = [(case, fault) for case, _, fault in results if fault]
        faults += wrong
        total += 1
        good += not wrong and bool(cases)
        answers = "; ".join(
            f"{ANSWERS[kind]}: {', '.join(case.name for case in cases if case.answer == kind)}"
            for kind in ANSWERS
            if any(case.answer == kind for case in cases)
        )
        slowest = max(done.seconds for _, done, _ in results)
        busiest = max(done.busy for _, done, _ in results)
        largest = max(done.megabytes for _, done, _ in results)
        print(
            f"| {item} | {len(cases)} | {answers} | {len(cases) - len(wrong)} of {len(cases)} "
            f"| {slowest:.2f} s | {busiest:.2f} s | {largest:.0f} MB |",
            flush=True,
        )
    print(f"\n{good} of {total} items answered as wanted")
    for case, fault in faults:
        print(f"- {case.id}: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
