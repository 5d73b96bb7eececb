"""Show which files three commands pass: photos to a row, a prompt to a PNG, a `.pt` to a row.

    python benchmarks/walks.py [CHECKOUT] [--files]

Each command runs once with a profiler that notes the first time a call enters a file. Counted are
the files of the rooms that data passes through: photos, models, inversion, library, generation.
What parses, prints and keeps settings is not, nor are the base modules. A climb back is a step from
one file to the next that goes to an earlier room.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The rooms in the order in which data passes through them.
FLOW = {"photos": 0, "models": 1, "inversion": 2, "library": 3, "generation": 4}
TRACER = """
import sys
root, out, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
entered = {}

def importing(frame):
    while frame is not None:
        code = frame.f_code
        if code.co_name == "<module>" and code.co_filename.startswith(root):
            return True
        frame = frame.f_back
    return False

def note(frame, event, _argument):
    file = frame.f_code.co_filename
    if event != "call" or not file.startswith(root) or frame.f_code.co_name.startswith("<"):
        return
    name = file[len(root):]
    if name not in entered and not importing(frame):
        entered[name] = None

from ticli.__main__ import main
sys.setprofile(note)
code = main(arguments)
sys.setprofile(None)
open(out, "w").write("\\n".join(entered))
sys.exit(code)
"""


def walk(checkout: Path, work: Path, *arguments: str) -> list[str]:
    """The files of the flow that a command enters, in order of their first call."""
    out = work / "walk.txt"
    environment = {**os.environ, "PYTHONPATH": str(checkout), "TI_HOME": str(work / "home")}
    root = f"{checkout / 'ticli'}{os.sep}"
    call = [sys.executable, "-c", TRACER, root, str(out), *arguments, "-q"]
    subprocess.run(call, env=environment, cwd=work, check=True, stdout=subprocess.DEVNULL)
    return [file for file in out.read_text().splitlines() if file.split("/")[0] in FLOW]


def climbs(files: list[str]) -> int:
    """How often the next new file is of an earlier room."""
    ranks = [FLOW[file.split("/")[0]] for file in files]
    return sum(after < before for before, after in itertools.pairwise(ranks))


def main() -> None:
    """Print the walks of a checkout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, nargs="?", default=ROOT)
    parser.add_argument("--files", action="store_true", help="list the files too")
    options = parser.parse_args()
    photos = str(ROOT / "examples" / "mug")
    with tempfile.TemporaryDirectory() as folder:
        work, checkout = Path(folder), options.checkout.resolve()
        learn = ("invert", photos, "--token", "<mug>", "--steps", "2", "--batch", "1")
        walks = {"photos to a row": walk(checkout, work, *learn)}
        drawn = walk(checkout, work, "generate", "<mug>", "--steps", "1", "-o", "mug.png")
        walks["a prompt to a PNG"] = drawn
        walk(checkout, work, "export", "mug", "--format", "a1111-pt", "-o", "mug.pt")
        walks["a .pt to a row"] = walk(checkout, work, "import", "mug.pt", "--token", "<cup>")
    print("| walk | files | climbs back |\n|---|--:|--:|")
    for name, files in walks.items():
        print(f"| {name} | {len(files)} | {climbs(files)} |")
    for name, files in walks.items() if options.files else ():
        print(f"\n{name}:\n" + "\n".join(f"  {file}" for file in files))


if __name__ == "__main__":
    main()
