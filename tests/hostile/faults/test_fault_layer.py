"""The same kills where there is no strace: the calls of Python's own `os` end the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import changes
import pytest
from harness import sample

# Every call that changes a file or a folder, counted; at the chosen one the process dies.
LAYER = """
import os, signal, sys; sys.path.insert(0, sys.argv[1])
import sqlite_utils, changes
calls, last = 0, int(sys.argv[3])
def dying(plain):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*arguments, **options)
    return call
for name in "write fsync rename replace link unlink mkdir ftruncate rmdir".split():
    setattr(os, name, dying(getattr(os, name)))
changes.CHANGES[sys.argv[2]]()
print(calls)
"""


def run_layered(change: str, last: int) -> subprocess.CompletedProcess[str]:
    folder = str(Path(changes.__file__).parent)
    return subprocess.run(
        [sys.executable, "-c", LAYER, folder, change, str(last)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.parametrize("change", ["add", "rebuild", "back_up"])
def test_killed_by_the_layer(stage, most, record_property, change: str) -> None:
    place = stage(change)
    before = place.observe()
    place.reset()
    counted = run_layered(change, 0)
    assert counted.returncode == 0, counted.stderr
    after = place.observe()
    assert after != before
    total = int(counted.stdout.splitlines()[-1])
    assert total >= 5
    tried = sample(range(1, total + 1), most(3))
    for number in tried:
        place.reset()
        assert run_layered(change, number).returncode == -signal.SIGKILL, number
        found = place.observe()
        assert found in (before, after), number
        changes.CHANGES[change]()
        assert place.observe() == after, number
        place.sound()
    record_property("kill points", len(tried))
