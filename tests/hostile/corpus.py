"""The 55 items of hostile files and texts, each in one or several cases."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import corpus_archives
import corpus_files
import corpus_names
import corpus_pickles
import corpus_pictures
import corpus_tensors
from crafted import MARKER, Case

CASES: list[Case] = [
    *corpus_pickles.CASES,
    *corpus_archives.CASES,
    *corpus_tensors.CASES,
    *corpus_pictures.CASES,
    *corpus_names.CASES,
    *corpus_files.CASES,
]
ITEMS = range(1, 56)
REFUSALS = (1, 2, 3, 4)


def tamper(home: Path) -> None:
    """Exchange the last byte of every stored file."""
    for path in home.glob("blobs/*/*.safetensors"):
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def fault_in(case: Case, code: int, out: str, err: str) -> str:
    """What is wrong with the answer to the last call of a case; "" where nothing is."""
    import re

    steered = {
        character
        for character in set(out + err) - {"\n", "\t"}
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")
    }
    if steered:
        return f"shows {steered}"
    if "Traceback" in err or "weights_only" in err:
        return "shows the inside"
    refused = code in REFUSALS and err.startswith("error: ")
    if case.answer == "R" and not refused:
        return f"was not refused: exit {code}"
    if case.answer in "AW" and code != 0:
        return f"was refused: {err}"
    if case.answer == "A" and "warning" in err:
        return f"warns: {err}"
    if case.answer == "W" and "warning: " not in err:
        return "does not warn"
    if case.answer == "S" and code not in (0, *REFUSALS):
        return f"ended with {code}"
    if case.answer in "RW" and not re.search(case.says, err, re.DOTALL):
        return f"says {err!r}"
    return ""


def left_behind(folder: Path, home: Path, before: set[Path]) -> set[Path]:
    """Markers, temporary files, and what appeared beside the files that were given."""
    after = {path for path in folder.rglob("*") if home not in (path, *path.parents)}
    temporary = {path for path in home.rglob("*") if ".tmp" in path.name}
    return (after - before) | temporary | {path for path in after if path.name == MARKER}
