"""`ti prune`: what nothing needs any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticli.commands import options
from ticli.terminal.output import Column, Output, open_output
from ticli.terminal.safe_text import byte_text

if TYPE_CHECKING:
    from ticli.library.store import Unused


COLUMNS = (Column("PATH"), Column("KIND"), Column("SIZE", right=True))


def prune(
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also what is younger than 14 days, unfinished runs included."),
    ] = False,
    yes: options.YesOption = False,
    dry_run: options.DryRunOption = False,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Remove what nothing needs any more.

    That is: files and photos that belong to no concept, what crashes left, unfinished runs and
    cached files, once they have been unused for 14 days.
    """
    from ticli.inversion.run_folder import REMAINS, RUN, remove_runs, stale_runs
    from ticli.library.store import Grace
    from ticli.library.upkeep.pruning import find_unused, remember, remove_unused
    from ticli.paths import places

    output = open_output(json, quiet, verbose, no_color, debug)
    grace = Grace(datetime.now(UTC), everything)
    files, runs = find_unused(places(), grace), stale_runs(places().runs, grace)
    doomed = [unused for unused in [*files, *runs] if unused.due]
    waiting = [unused for unused in [*files, *runs] if not unused.due]
    if not dry_run:
        if doomed:
            _ask(output, doomed, yes)
        removed = remove_unused(places(), [u for u in doomed if u.kind not in (RUN, REMAINS)])
        removed += remove_runs([u for u in doomed if u.kind in (RUN, REMAINS)])
        remember(places(), [u for u in files if u not in removed])
        doomed = removed
    _show(output, doomed, waiting, dry_run)


def _ask(output: Output, doomed: Sequence[Unused], yes: bool) -> None:
    if not yes:
        for unused in doomed:
            replace(output, quiet=False).note(_line(unused))
    freed = byte_text(sum(unused.bytes for unused in doomed))
    output.confirm(f"Remove {len(doomed):,} of these ({freed})?", yes)


def _show(output: Output, gone: Sequence[Unused], waiting: Sequence[Unused], dry_run: bool) -> None:
    total = sum(unused.bytes for unused in gone)
    if output.json:
        output.document(
            {
                "removed": [_as_json(unused) for unused in gone],
                "kept": [_as_json(unused) for unused in waiting],
                "bytes": total,
                "dry_run": dry_run,
            }
        )
    else:
        output.table(COLUMNS, [(str(u.path), u.kind, byte_text(u.bytes)) for u in gone])
    output.note(f"{'would free' if dry_run else 'freed'} {byte_text(total)}")
    if waiting:
        kept = byte_text(sum(unused.bytes for unused in waiting))
        output.note(f"{len(waiting):,} more ({kept}) wait for 14 days; --all takes them too")
    for unused in waiting:
        output.detail(f"{_line(unused)}, unused since {unused.since:%Y-%m-%d}")


def _line(unused: Unused) -> str:
    return f"{unused.kind} {unused.path} ({byte_text(unused.bytes)})"


def _as_json(unused: Unused) -> dict[str, Any]:
    return {
        "kind": unused.kind,
        "path": str(unused.path),
        "bytes": unused.bytes,
        "since": unused.since.isoformat(timespec="seconds"),
    }
