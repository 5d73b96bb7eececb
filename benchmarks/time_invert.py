"""Time `ti invert` on the example photos with default settings, from start to exit.

    python benchmarks/time_invert.py [--runs 5]

Each run has a library of its own. Prints wall seconds, milliseconds a step and peak memory of
every run, then the medians. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "mug"


def one_run() -> tuple[float, float, float]:
    """Wall seconds, milliseconds a step (median), and peak MiB of one run."""
    command = [sys.executable, "-m", "ticli", "invert", str(EXAMPLES), "--token", "<mug>"]
    environment = os.environ | {"TI_HOME": tempfile.mkdtemp(prefix="ti-time-")}
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--progress", "jsonl"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    wall = time.monotonic() - began
    steps = [json.loads(line)["seconds"] for line in done.stderr.splitlines() if line[:1] == "{"]
    # Linux counts KiB, macOS bytes; children's peak only ever grows, so it is the largest so far.
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    return wall, statistics.median(steps) * 1000, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    runs = []
    for _ in range(options.runs):
        runs.append(one_run())
        print("wall {:.1f} s, {:.0f} ms a step, peak {:.0f} MiB".format(*runs[-1]), flush=True)
    wall, step, _ = (statistics.median(column) for column in zip(*runs, strict=True))
    peak = max(run[2] for run in runs)
    print(f"median wall {wall:.1f} s, {step:.0f} ms a step; peak {peak:.0f} MiB")


if __name__ == "__main__":
    main()
