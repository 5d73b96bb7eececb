"""What is written here is for everyone: no path of a machine, no name of a place to fetch from."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A path that only one machine has. Parts are split so that this file does not hold them.
MACHINE = re.compile(r"(?<![\w.~}/-])/(?:work|root|tmp/venv|Users/\w+|mnt)(?:/|\b)")
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".json", ".fish", ".bash", ".sh", ""}


def texts() -> list:
    """The text files that git keeps or would keep."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    paths = [ROOT / name for name in listed.split("\0") if name]
    found = [p for p in paths if p.suffix in SUFFIXES and p.is_file() and p.stat().st_size < 10**6]
    assert len(found) > 100
    return found


def test_no_file_names_a_path_of_a_machine() -> None:
    wrong = []
    for path in texts():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
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
