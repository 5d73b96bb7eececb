"""`ti prune`: what nothing needs any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from ticli.commands import options
from ticli.paths import places
from ticli.terminal.output import Output, columns
from ticli.terminal.safe_text import byte_text

if TYPE_CHECKING:
    from ticli.library.store import Unused


COLUMNS = columns("PATH", "KIND", ">SIZE")


@options.with_output
def prune(
    output: Output,
    everything: Annotated[
        bool,
        options.flag("--all", help="Also what is younger than 14 days, unfinished runs included."),
    ] = False,
    yes: options.YesOption = False,
    dry_run: options.DryRunOption = False,
) -> None:
    """Remove what nothing needs any more.

    That is: files and photos that belong to no concept, what crashes left, unfinished runs and
    cached files, once they have been unused for 14 days.
    """
    from ticli.inversion.run_folder import REMAINS, RUN, remove_runs, stale_runs
    from ticli.library.store import Grace
    from ticli.library.upkeep.pruning import find_unused, remember, remove_unused

    grace = Grace(datetime.now(UTC), everything)
    files, runs = find_unused(places(), grace), stale_runs(places().runs, grace)
    doomed = [unused for unused in [*files, *runs] if unused.due]
    waiting = [unused for unused in [*files, *runs] if not unused.due]
    if not dry_run:
        if doomed:
            for unused in () if yes else doomed:
                replace(output, quiet=False).note(_line(unused))
            output.confirm(f"Remove {len(doomed):,} of these ({_size_of(doomed)})?", yes)
        removed = remove_unused(places(), [u for u in doomed if u.kind not in (RUN, REMAINS)])
        removed += remove_runs([u for u in doomed if u.kind in (RUN, REMAINS)])
        remember(places(), [u for u in files if u not in removed])
        doomed = removed
    _show(output, doomed, waiting, dry_run)


def _show(output: Output, gone: Sequence[Unused], waiting: Sequence[Unused], dry_run: bool) -> None:
    if output.json:
        output.document(
            {
                "removed": [_as_json(unused) for unused in gone],
                "kept": [_as_json(unused) for unused in waiting],
                "bytes": sum(unused.bytes for unused in gone),
                "dry_run": dry_run,
            }
        )
    else:
        output.table(COLUMNS, [(str(u.path), u.kind, byte_text(u.bytes)) for u in gone])
    output.note(f"{'would free' if dry_run else 'freed'} {_size_of(gone)}")
    if waiting:
        size = _size_of(waiting)
        output.note(f"{len(waiting):,} more ({size}) within 14 days of use; --all takes them too")
    for unused in waiting:
        output.detail(f"{_line(unused)}, unused since {unused.since:%Y-%m-%d}")


def _size_of(files: Sequence[Unused]) -> str:
    return byte_text(sum(unused.bytes for unused in files))


def _line(unused: Unused) -> str:
    return f"{unused.kind} {unused.path} ({byte_text(unused.bytes)})"


def _as_json(unused: Unused) -> dict[str, Any]:
    return {
        "kind": unused.kind,
        "path": str(unused.path),
        "bytes": unused.bytes,
        "since": unused.since.isoformat(timespec="seconds"),
    }
