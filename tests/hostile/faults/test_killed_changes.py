"""A library killed at any moment of a change opens, is whole, and takes the change again."""

from __future__ import annotations

import itertools
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import changes
import pytest

from ticli.library.library import Library

SCRIPT = Path(changes.__file__)
STRACE = shutil.which("strace")
CALLS = (
    "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,"
    "ftruncate,mkdir,mkdirat"
)
CALL = re.compile(r"^(\w+)\(", re.MULTILINE)
Vectors = dict[str, list[float]]


class Server:
    """A process that forks one child a change, to be watched or killed by strace."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def run(self, change: str, *options: str) -> int:
        """Run a change under strace with these options; return how its process ended."""
        sent, told = self.process.stdin, self.process.stdout
        assert sent is not None and told is not None and STRACE is not None
        sent.write(f"{change}\n")
        sent.flush()
        child = told.readline().strip()
        command = [STRACE, *options, "-p", child]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            heard = tracer.stderr.readline()
            sent.write("!")
            sent.flush()
            code = int(told.readline())
            heard += tracer.stderr.read()
        if "attached" not in heard:
            pytest.skip(f"strace may not trace here: {heard}")
        return code


@pytest.fixture
def server(isolated: Path) -> Iterator[Server]:
    if STRACE is None:
        pytest.skip("strace is not installed")
    process = subprocess.Popen(
        [sys.executable, SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Server(process)
    finally:
        process.kill()
        process.communicate()


def moments(trace: str) -> list[tuple[str, int]]:
    """Every call by its name and its number among those of that name."""
    counts: Counter[str] = Counter()
    chosen = []
    for name in CALL.findall(trace):
        counts[name] += 1
        chosen.append((name, counts[name]))
    return chosen


def whole(library: Library) -> Vectors:
    """The vectors of every row: each has its file, and it can be read."""
    found = {
        concept.name: library.embedding(concept).rows["clip_l"][0].tolist()
        for concept in library.concepts()
    }
    assert sorted(found) == library.names()
    return found


def restore(start: Path, home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    if start.exists():
        shutil.copytree(start, home)


@pytest.mark.parametrize("change", changes.CHANGES)
def test_killed_at_every_step(server: Server, isolated: Path, tmp_path: Path, change: str) -> None:
    if change != "first":
        changes.prepare()
    start, trace = tmp_path / "start", tmp_path / "trace"
    if isolated.exists():
        shutil.copytree(isolated, start)
    before = whole(Library.open())
    assert server.run(change, "-e", f"trace={CALLS}", "-o", str(trace)) == 0
    after = whole(Library.open())
    assert before != after
    points = moments(trace.read_text())
    assert len(points) >= 30
    seen = []
    for name, number in points:
        restore(start, isolated)
        inject = f"inject={name}:signal=SIGKILL:when={number}"
        ended = server.run(change, "-e", f"trace={name}", "-e", inject, "-o", "/dev/null")
        assert ended == -signal.SIGKILL, (name, number)
        found = whole(Library.open())
        assert found in (before, after), (name, number)
        seen.append(found == after)
        changes.CHANGES[change]()
        assert whole(Library.open()) == after, (name, number)
    # Once it is done it stays done; the last call of each change comes after the commit.
    assert seen == sorted(seen) and seen[-1] and not seen[0]


ADDER = """
import sys; sys.path.insert(0, sys.argv[1])
from changes import Library, word
library = Library.open(write=True)
for number in range(100_000):
    library.add(*word(f"word-{number}", number + 1))
    print(number, flush=True)
"""


def test_killed_at_random_what_was_acknowledged_is_there(isolated: Path) -> None:
    draw = random.Random(0)
    for _ in range(5):
        shutil.rmtree(isolated, ignore_errors=True)
        command = [sys.executable, "-c", ADDER, SCRIPT.parent]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = list(itertools.islice(process.stdout, 3))
        time.sleep(draw.uniform(0.0, 0.15))
        process.kill()
        said += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        # The last line may be cut short, and one more may be stored than was said.
        acknowledged = {f"word-{line.strip()}" for line in said if line.endswith("\n")}
        library = Library.open()
        names = set(whole(library))
        assert acknowledged <= names and len(names) <= len(acknowledged) + 2
        library.add(*changes.word("afterwards"))
