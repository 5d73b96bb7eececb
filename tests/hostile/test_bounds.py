"""Files made to grow without end stay small: what one process takes for the worst of the corpus."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import corpus
import pytest

# The promise is 300 MB and two seconds; a guard against hangs allows ten times the time.
MOST_KILOBYTES = 300_000
LONGEST = 20.0
BOMBS = {
    "14-packed-storage",
    "22-legacy-of-10^10-numbers",
    "22-zip-of-10^10-numbers",
    "23-stride-0",
    "29-(100-000,-768)",
    "32-300-000-tensors",
    "32-65-537-tensors",
    "33-header-of-100-MB",
    "36-metadata-of-50-MB",
    "36-a-million-lists",
    "40-bomb-in-pixels",
    "41-14000x14000",
    "41-bomb-in-zTXt",
    "50-sparse-file-of-1-TB",
    "53-a-million-concepts",
}
PROGRAM = """
import re, sys, time
from ticli.__main__ import main
longest = 0.0
for path in sys.argv[1:]:
    began = time.process_time()
    assert main(["import", path]) in (1, 2), path
    longest = max(longest, time.process_time() - began)
status = open("/proc/self/status").read()
print(longest, re.search(r"VmHWM:\\s*(\\d+) kB", status)[1])
"""


def test_the_bombs_are_in_the_corpus() -> None:
    assert {case.id for case in corpus.CASES} >= BOMBS


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="asks Linux for the peak")
def test_the_worst_files_stay_within_bounds(tmp_path: Path, monkeypatch) -> None:
    paths = []
    for number, case in enumerate(case for case in corpus.CASES if case.id in BOMBS):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ((*_, name),) = case.build(folder)
        paths.append(str(folder / name))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *paths],
        capture_output=True, text=True, timeout=LONGEST * len(paths),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("error: ") == len(paths)
    longest, peak = done.stdout.split()
    assert float(longest) < LONGEST
    assert int(peak) < MOST_KILOBYTES
