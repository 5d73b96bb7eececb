"""`ti restore`: a library out of a backup."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticli.commands import options
from ticli.terminal.input import piped
from ticli.terminal.output import Output, open_output

if TYPE_CHECKING:
    from ticli.library.upkeep.backups import BackupFile
    from ticli.library.upkeep.restoring import Restored


STDIN = "-"


@dataclass(frozen=True)
class Request:
    """What to restore, and how."""

    file: str
    merge: bool
    yes: bool
    dry_run: bool


def restore(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A file that ti backup wrote; - is stdin.", show_default=False
        ),
    ],
    merge: Annotated[
        bool, typer.Option("--merge", help="Add to the library that is there; replace nothing.")
    ] = False,
    yes: options.YesOption = False,
    dry_run: options.DryRunOption = False,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Bring a library back from a backup.

    Every file is compared with its hash before anything is changed. A library that is there is
    replaced after a question; its database is put aside, and what that names is kept.
    """
    output = open_output(json, quiet, verbose, no_color, debug)
    _show(output, _restore(output, Request(file, merge, yes, dry_run)), dry_run)


def _restore(output: Output, request: Request) -> Restored:
    from ticli.library.upkeep.restoring import restore, standing
    from ticli.paths import places

    with _opened(request.file) as backup:
        there = standing(places())
        if not request.dry_run and not request.merge and (there.concepts or there.damaged):
            old = "the damaged library" if there.damaged else f"{there.concepts:,} concepts"
            output.confirm(
                f"Replace {old} in {places().home} by {backup.manifest.get('concepts')} from "
                f"{backup.origin}?",
                request.yes,
            )
        return restore(places(), backup, merge=request.merge, dry_run=request.dry_run)


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BackupFile]:
    from ticli.library.upkeep.backups import open_backup, open_backup_stream

    if file != STDIN:
        with open_backup(Path(file)) as backup:
            yield backup
        return
    sent = piped("- reads a backup from a pipe", "ssh HOST ti backup - | ti restore -")
    with open_backup_stream(sent) as backup:
        yield backup


def _show(output: Output, done: Restored, dry_run: bool) -> None:
    if output.json:
        output.document(
            {
                "restored": list(done.names),
                "skipped": list(done.skipped),
                "put_aside": str(done.put_aside) if done.put_aside else None,
                "dry_run": dry_run,
            }
        )
    else:
        output.lines(list(done.names))
    if done.skipped:
        output.note(f"{len(done.skipped):,} concepts were here already")
    if done.put_aside:
        output.note(f"the old database is now {done.put_aside}")
    if dry_run:
        output.note("nothing was changed (--dry-run)")
