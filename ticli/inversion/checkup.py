"""What `ti doctor` says of unfinished runs: their files are read, torch is not needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from ticli.checkup import Check, counted, some_of
from ticli.inversion.runs import CHECKPOINT, HELD_OUT, IDENTITY, LATENTS, is_live, unfinished


def check_runs(folder: Path) -> Iterator[Check]:
    """Whether every unfinished run can be continued, and what runs left behind.

    A run that is live is passed over: its files change while they are read.
    """
    broken, good = 0, 0
    for run in unfinished(folder):
        problems = [] if run.live else _problems(run.path)
        if problems:
            broken += 1
            said = f"the unfinished run of {run.token} cannot be continued: {', '.join(problems)}"
            fix = f"ti rm --unfinished {run.name}, or ti invert … --fresh"
            yield Check("unfinished-run", "warn", said, fix, (run.name, str(run.path)))
        else:
            good += 1
    if not broken:
        yield Check("unfinished-runs", "ok", f"{counted(good, 'unfinished run')}, none damaged")
    rest = [str(path) for path in run_remains(folder)]
    if rest:
        said = f"{counted(len(rest), 'folder')} of runs that have ended: {some_of(rest)}"
        yield Check("run-remains", "warn", said, "ti prune", tuple(rest))


def run_remains(folder: Path) -> list[Path]:
    """Folders that a run which was killed while it was removed or begun left, with no identity."""
    known = {run.path for run in unfinished(folder)}
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.is_symlink() and path not in known and not is_live(path)
    )


def _problems(path: Path) -> list[str]:
    problems = []
    try:
        if not isinstance(json.loads((path / IDENTITY).read_text("utf-8")), dict):
            problems.append(f"{IDENTITY} is damaged")
    except (OSError, ValueError):
        problems.append(f"{IDENTITY} cannot be read")
    for name in (LATENTS, HELD_OUT, CHECKPOINT):
        if (path / name).exists() and not _is_whole(path / name):
            problems.append(f"{name} is damaged")
    return problems


def _is_whole(path: Path) -> bool:
    """Whether a file of tensors has the checksum that stands in it."""
    try:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        expected = header.pop("__metadata__")["sha256"]
        digest = hashlib.sha256()
        for name in sorted(header):
            start, end = header[name]["data_offsets"]
            digest.update(name.encode())
            digest.update(data[8 + length + start : 8 + length + end])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return bool(digest.hexdigest() == expected)
