"""Time one training step of `ti` and of the script reference on this CPU, in turn.

    python benchmarks/step_time.py [--rounds 3] [--steps 40] [--batch 4]

Each round learns the example mug on the starter by the script's loop, by `ti` in float32 and by
`ti` in bfloat16, every run a process with a library of its own. Prints Markdown: the median over
rounds of each run's median step, and the ratio to the script's. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples" / "mug"
PHOTOS = [str(EXAMPLES), "--token", "<mug>", "--init", "mug"]


def run(command: list[str]) -> str:
    """What a command says on stderr, in a library of its own."""
    with tempfile.TemporaryDirectory(prefix="ti-time-") as home:
        done = subprocess.run(
            [sys.executable, *command],
            env=os.environ | {"TI_HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    return done.stderr


def script_step(steps: int, batch: int) -> float:
    """Milliseconds of the script loop's median step, of `batch` pictures at once."""
    options = ["--steps", str(steps), "--batch", str(batch), "--accumulate", "1"]
    said = run([str(HERE / "script_reference.py"), *PHOTOS, *options])
    found = re.search(r"median of a step: ([0-9.]+) ms", said)
    if found is None:
        raise SystemExit(f"the script did not say how long a step took: {said[-200:]!r}")
    return float(found[1])


def our_step(steps: int, batch: int, dtype: str) -> float:
    """Milliseconds of `ti invert`'s median step."""
    options = ["--steps", str(steps), "--batch", str(batch), "--stop", "never"]
    options += ["--device", "cpu", "--dtype", dtype, "--progress", "jsonl"]
    lines = run(["-m", "ticli", "invert", *PHOTOS, *options]).splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines if line[:1] == "{"]
    return statistics.median(seconds) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    size = options.steps, options.batch
    found: dict[str, list[float]] = {"the script's loop": [], "ti, fp32": [], "ti, bf16": []}
    for _ in range(options.rounds):
        found["the script's loop"].append(script_step(*size))
        found["ti, fp32"].append(our_step(*size, "fp32"))
        found["ti, bf16"].append(our_step(*size, "bf16"))
    script = statistics.median(found["the script's loop"])
    print(f"| {options.batch} pictures a step | ms | of the script's |\n|---|--:|--:|")
    for name, values in found.items():
        middle = statistics.median(values)
        print(f"| {name} | {middle:.0f} | {middle / script:.2f} |")


if __name__ == "__main__":
    main()
