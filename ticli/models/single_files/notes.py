"""What is remembered of single files: the folder of their other parts, and their prediction."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ticli.durable import make_folder, write_file
from ticli.models.single_files.single_file import (
    EARLIER,
    EPSILON,
    NOTHING_GIVEN,
    TRIED,
    VELOCITY,
    Given,
)
from ticli.paths import places


def recall(path: Path) -> Given:
    """What was remembered of a file; nothing where it changed since, or where notes are damaged."""
    try:
        found = json.loads(_note(path).read_text("utf-8"))
        if not isinstance(found, dict) or found.get("file") != _state(path):
            return NOTHING_GIVEN
        components, prediction = found.get("components"), found.get("prediction")
    except (OSError, ValueError):
        return NOTHING_GIVEN
    return Given(
        Path(components) if isinstance(components, str) else None,
        prediction if prediction in (EPSILON, VELOCITY) else "",
        TRIED if found.get("told_by") == TRIED else EARLIER,
    )


def remember(path: Path, given: Given) -> None:
    """Keep what was given of a file, until the file changes. Raises TiError."""
    if given in (NOTHING_GIVEN, recall(path)):
        return
    note = _note(path)
    make_folder(note.parent)
    document: dict[str, Any] = {
        "file": _state(path),
        "components": str(given.components) if given.components else None,
        "prediction": given.prediction,
        "told_by": given.told_by,
    }
    write_file(note, json.dumps(document).encode(), replace=True)


def _note(path: Path) -> Path:
    name = hashlib.sha256(str(path.absolute()).encode("utf-8", "surrogateescape")).hexdigest()
    return places().config.parent / "single-files" / f"{name}.json"


def _state(path: Path) -> list[Any]:
    known = path.stat()
    return [str(path.absolute()), known.st_size, known.st_mtime_ns]
