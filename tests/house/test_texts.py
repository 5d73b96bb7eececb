"""What is written here is for everyone: no path of a machine, no name of a place to fetch from."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

# A path that only one machine has. The groups keep this file from holding one.
MACHINE = re.compile(r"(?<![\w.~}/-])/(?:work|root|tmp/venv|Users/\w+|mnt)(?:/|\b)")
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".json", ".fish", ".bash", ".sh", ""}
LEFT_OUT = {"build", "dist", "__pycache__"}


def texts() -> list[Path]:
    """The text files of the project; what tools and installations leave is none of it."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in LEFT_OUT
            and not name.endswith(".egg-info")
            and (name == ".ci" or not name.startswith("."))
        ]
        found += [Path(folder, name) for name in names if name != ".git"]
    found = [p for p in found if p.suffix in SUFFIXES and p.stat().st_size < 10**6]
    assert len(found) > 100
    return found


def test_no_file_names_a_path_of_a_machine() -> None:
    wrong = []
    for path in texts():
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            if MACHINE.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number} {line.strip()[:80]}")
    assert wrong == []


def test_the_pattern_finds_one() -> None:
    assert MACHINE.search("cd " + "/".join(["", "work", "main"]))
    assert not MACHINE.search("a network/works path, ~/work and $HOME/work")


def test_dependencies_come_from_no_named_host() -> None:
    for name in ("constraints.txt", "pyproject.toml"):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if "://" in line or "--index" in line] == []
