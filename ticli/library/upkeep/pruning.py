"""Find files that nothing needs, remember since when, and remove them after 14 days."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ticli.durable import remove_file, write_file
from ticli.errors import TiError
from ticli.library.database import (
    change,
    connect_to_read,
    explained,
    is_present,
    locked,
    open_to_write,
)
from ticli.library.store import (
    CACHE,
    CONCEPT_FILE,
    PHOTO,
    TEMPORARY,
    Grace,
    Unused,
    databases_put_aside,
    stored_blobs,
    stored_photos,
    temporary_files,
)
from ticli.library.upkeep import checking
from ticli.paths import Places

RECORD = "unused.json"


def find_unused(places: Places, grace: Grace) -> list[Unused]:
    """Everything in the library's folders that no row names. Changes nothing.

    Raises TiError if the library is damaged: then nobody knows what it needs.
    """
    if not is_present(places.database, places.blobs):
        return []
    with _held(places) as needed:
        return _find(places, grace, needed)


def remember(places: Places, found: Sequence[Unused]) -> None:
    """Record since when files are unused; forget those needed again. Raises TiError."""
    path = places.home / RECORD
    seen = {str(unused.path): unused.since.isoformat() for unused in found if unused.kind != CACHE}
    if seen or path.exists():
        write_file(path, json.dumps({"seen": seen}, indent=1).encode(), replace=True)


def remove_unused(places: Places, doomed: Sequence[Unused]) -> list[Unused]:
    """Remove what was found before, unless a row names it by now; return what was removed.

    A failure lists what was removed until then under `completed`. Raises TiError.
    """
    removed: list[Unused] = []
    if not doomed:
        return removed
    with _held(places) as needed:
        for unused in doomed:
            sha256 = unused.path.name.partition(".")[0]
            if unused.kind in (CONCEPT_FILE, PHOTO) and sha256 in needed:
                continue
            try:
                remove_file(unused.path)
            except TiError as error:
                error.details["completed"] = [str(gone.path) for gone in removed]
                raise
            removed.append(unused)
    return removed


@contextlib.contextmanager
def _held(places: Places) -> Iterator[set[str]]:
    """Keep other processes from changing the library; yield the hashes that it needs."""
    database = places.database
    connection = open_to_write(database, places.blobs)
    held = contextlib.closing(connection)
    with held, locked(database), explained(database), change(connection):
        rows = list(checking.row_files(connection))
        needed = {row.sha256 for row in rows} | {sha for row in rows for sha in row.photos}
        for aside in databases_put_aside(places):
            with explained(aside), contextlib.closing(connect_to_read(aside)) as old:
                for row in checking.row_files(old):
                    needed |= {row.sha256, *row.photos}
        yield needed


def _find(places: Places, grace: Grace, needed: set[str]) -> list[Unused]:
    seen = _seen(places)
    stored = [(CONCEPT_FILE, s) for s in stored_blobs(places)]
    stored += [(PHOTO, s) for s in stored_photos(places)]
    paths = [(kind, s.path) for kind, s in stored if s.sha256 not in needed]
    paths += [(TEMPORARY, path) for path in temporary_files(places)]
    found = []
    for kind, path in sorted(paths):
        with contextlib.suppress(FileNotFoundError):
            found.append(grace.judge(kind, path, seen.get(path)))
    for path in sorted(places.cache.rglob("*")) if places.cache.is_dir() else []:
        # Cached files can be made again: their own age decides.
        if path.is_file() or path.is_symlink():
            touched = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
            found.append(grace.judge(CACHE, path, touched))
    return found


def _seen(places: Places) -> dict[Path, datetime]:
    """The record of an earlier prune. If it cannot be read, files only stay longer."""
    try:
        seen = json.loads((places.home / RECORD).read_text("utf-8"))["seen"]
        times = {Path(key): datetime.fromisoformat(text) for key, text in seen.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {path: time for path, time in times.items() if time.tzinfo is not None}
