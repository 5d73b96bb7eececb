"""A library killed at any moment of a change opens, is whole, and takes the change again."""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import changes
import pytest
from harness import CALLS, moments, sample, shown

from ticli.library import Library


@pytest.mark.parametrize("change", changes.CHANGES)
def test_killed_at_every_call(server, stage, most, tmp_path, record_property, change) -> None:
    place, trace = stage(change), tmp_path / "trace"
    before = place.observe()
    place.reset()
    assert server.run(change, "-e", f"trace={CALLS}", "-o", str(trace)) == 0, server.said()
    after = place.observe()
    points = moments(trace.read_text())
    tried = sample(points, most(3))
    seen = []
    for name, number in tried:
        place.reset()
        inject = f"inject={name}:signal=SIGKILL:when={number}"
        ended = server.run(change, "-e", f"trace={name}", "-e", inject, "-o", "/dev/null")
        assert ended == -signal.SIGKILL, (name, number)
        found = place.observe()
        assert found in (before, after), (name, number)
        seen.append(found == after)
        if change != "rebuild" or found == after:
            place.sound()
        changes.CHANGES[change]()
        assert place.observe() == after, (name, number)
        place.sound()
    record_property("kill points", len(tried))
    if before != after:
        # Once it is done it stays done; nothing is done before the first call.
        assert seen == sorted(seen) and not seen[0]
    if change != "upgrade":
        assert before != after and len(points) >= 5
    assert "Traceback" not in server.said()


ADDER = """
import sys; sys.path.insert(0, sys.argv[1])
from changes import Library, word
library = Library.open(write=True)
for number in range(100_000):
    library.add(*word(f"word-{number}", number + 1))
    print(number, flush=True)
"""


def test_killed_at_random_what_was_acknowledged_is_there(
    isolated: Path, most, record_property
) -> None:
    draw, rounds = random.Random(0), most(3) or 40
    for _ in range(rounds):
        shutil.rmtree(isolated, ignore_errors=True)
        command = [sys.executable, "-c", ADDER, str(Path(changes.__file__).parent)]
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
        names = set(shown())
        assert acknowledged <= names and len(names) <= len(acknowledged) + 2
        Library.open().add(*changes.word("afterwards"))
    record_property("kill points", rounds)
