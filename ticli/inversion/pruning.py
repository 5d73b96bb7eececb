"""Unfinished runs that nobody has continued for long, and what ended runs left."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ticli.errors import Conflict, TiError
from ticli.inversion.checkup import run_remains
from ticli.inversion.runs import UnfinishedRun, discard, unfinished
from ticli.library.inventory import GRACE, IN_USE, Grace, Unused, size_of

RUN, REMAINS = "run", "run-remains"


def stale_runs(folder: Path, grace: Grace) -> list[Unused]:
    """Runs whose last checkpoint is old, and folders of runs that are no more. Changes nothing.

    A run that is live never goes.
    """
    found = []
    for run in unfinished(folder):
        if not run.live:
            # What its own checkpoint says: a clock that was put back makes no run old.
            since = datetime.fromisoformat(run.updated)
            due = grace.everything or grace.now - since >= GRACE
            found.append(Unused(RUN, run.path, size_of(run.path), since, due))
    for path in run_remains(folder):
        since = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        due = grace.now - since >= (IN_USE if grace.everything else GRACE)
        found.append(Unused(REMAINS, path, size_of(path), since, due))
    return found


def remove_runs(doomed: Sequence[Unused]) -> list[Unused]:
    """Remove runs found before; return what went. One that is live by now stays.

    A failure names what went until then under `completed`. Raises TiError.
    """
    removed: list[Unused] = []
    for unused in doomed:
        name = unused.path.name
        try:
            discard(UnfinishedRun(name, f"<{name}>", 0, 0, "", unused.path, live=False))
        except Conflict:
            continue
        except TiError as error:
            error.details["completed"] = [str(gone.path) for gone in removed]
            raise
        removed.append(unused)
    return removed
