"""Kill `ti` with SIGKILL at random moments; the library must open and the run must finish.

    python benchmarks/kill_nine.py [--rounds 20] [--seed 0]

Each round kills one `ti invert` of the example photos, then looks at library and run; at the end
the same command must finish, with the bits of a run that was never killed. The same is done to
`ti merge` and `ti import`. Prints one line a round and a summary; exits 1 where a promise broke.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "mug"
INVERT = ["invert", str(EXAMPLES), "--token", "<mug>", "--steps", "24", "--batch", "4", "-q"]


def ti(home: Path, *arguments: str, kill_after: float | None = None) -> subprocess.CompletedProcess:
    """Run `ti` with its own library, killing it after so many seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ticli", *arguments],
        env=os.environ | {"TI_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, err = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def check(home: Path) -> list[str]:
    """What is wrong with a library: unopenable, damaged, a row without its whole file."""
    listed = ti(home, "list", "--json")
    if listed.returncode:
        return [f"list exits {listed.returncode}: {listed.stderr.strip()}"]
    wrong = []
    database = home / "library.db"
    if database.exists():
        with sqlite3.connect(database) as connection:
            found = connection.execute("pragma integrity_check").fetchone()[0]
        if found != "ok":
            wrong.append(f"integrity_check says {found}")
    from hashlib import sha256

    for concept in json.loads(listed.stdout):
        path = Path(concept["path"])
        if not path.is_file() or sha256(path.read_bytes()).hexdigest() != concept["sha256"]:
            wrong.append(f"{concept['name']} has no whole file")
    return wrong


def kill_inverts(home: Path, rounds: int, chance: random.Random) -> list[str]:
    """Kill one run again and again, each time at another moment, until it has finished."""
    began = time.monotonic()
    straight = ti(home / "straight", *INVERT)
    whole = time.monotonic() - began
    broken = [] if straight.returncode == 0 else [straight.stderr]
    finished = 0
    for number in range(rounds):
        place = home / "killed"
        moment = chance.uniform(0.1, whole)
        done = ti(place, *INVERT, kill_after=moment)
        left = ti(place, "list", "--unfinished", "--json")
        steps = [run["step"] for run in json.loads(left.stdout or "[]")]
        wrong = check(place)
        broken += wrong
        print(f"invert {number:2} killed after {moment:5.1f} s: exit {done.returncode}, "
              f"checkpoint {steps}, {wrong or 'clean'}", flush=True)  # fmt: skip
        if "mug" in ti(place, "list", "-q").stdout.split():
            # Finished, or killed after its word was kept: the next round begins anew.
            finished += 1
            ti(place, "rm", "mug", "-y")
    last = ti(home / "killed", *INVERT)
    if last.returncode not in (0, 4):
        broken.append(f"the last run exits {last.returncode}: {last.stderr}")
    if vectors(home / "killed") != vectors(home / "straight"):
        broken.append("the killed run ended with other bits")
    print(f"invert: {finished} of {rounds} finished before their kill")
    return broken


def vectors(home: Path) -> bytes:
    """The raw vectors of <mug>, as exported."""
    file = home / "mug-export.safetensors"
    ti(home, "export", "mug", "-o", str(file), "--force")
    data = file.read_bytes()
    return data[8 + int.from_bytes(data[:8], "little") :]


def kill_quick_ones(home: Path, rounds: int, chance: random.Random) -> list[str]:
    """Kill merges and imports, which take well under a second."""
    place = home / "straight"
    file = home / "one.safetensors"
    ti(place, "export", "mug", "-o", str(file), "--format", "emb_params")
    ti(place, "import", str(file), "--token", "first", "--base", "starter")
    broken = []
    for number in range(rounds):
        commands = (
            ("import", str(file), "--token", f"copy{number}", "--base", "starter"),
            ("merge", "mug", "first", "--token", f"mixed{number}"),
        )
        for command in commands:
            moment = chance.uniform(0.05, 0.9)
            done = ti(place, *command, kill_after=moment)
            wrong = check(place)
            again = ti(place, *command)
            if again.returncode not in (0, 4):
                wrong.append(f"again exits {again.returncode}: {again.stderr}")
            broken += wrong
            print(f"{command[0]:6} {number:2} killed after {moment:.2f} s: exit "
                  f"{done.returncode}, {wrong or 'clean'}", flush=True)  # fmt: skip
    return broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    home = Path(tempfile.mkdtemp(prefix="ti-kill-"))
    broken = kill_inverts(home, options.rounds, chance)
    broken += kill_quick_ones(home, options.rounds, chance)
    print(f"{'BROKEN: ' + str(broken) if broken else 'every promise held'}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
