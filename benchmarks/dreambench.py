"""Learn every subject of a DreamBench folder with `ti invert`, then score them all.

    python benchmarks/dreambench.py FOLDER --home DIR -m MODEL [--encoder E ...] [-- FLAGS...]

FOLDER is the DreamBooth dataset's. DIR is the library they are learned into: subjects that are in
it already are not learned again, so that the same command goes on after a stop. FLAGS go to
`ti invert`. Prints the document of `ti score --dreambench`: 25 prompts x 4 pictures a subject,
CLIP-I, CLIP-T and DINO.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from ticli.library.library import Library
from ticli.scoring.dreambench import read_benchmark


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("-m", "--model", default="starter")
    parser.add_argument("--encoder", action="append", default=[])
    parser.add_argument("--subjects", default="", help="names, with commas; all by default")
    parser.add_argument("flags", nargs="*")
    options = parser.parse_args()
    os.environ["TI_HOME"] = str(options.home.absolute())
    wanted = options.subjects.split(",") if options.subjects else []
    subjects = [s for s in read_benchmark(options.folder) if not wanted or s.name in wanted]
    ti = [sys.executable, "-m", "ticli"]
    for subject in subjects:
        if Library.open().find(subject.name) is None:
            word = subject.class_word.split()[-1]
            command = [*ti, "invert", str(subject.folder), "-t", subject.name, "--init", word]
            subprocess.run([*command, "-m", options.model, "-q", *options.flags], check=True)
    encoders = [part for encoder in options.encoder for part in ("--encoder", encoder)]
    names = [subject.name for subject in subjects]
    command = [*ti, "score", *names, "--dreambench", str(options.folder), "-m", options.model]
    subprocess.run([*command, *encoders, "--json"], check=True)


if __name__ == "__main__":
    main()
