"""`ti restore`: a library out of a backup."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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

    Every file is compared with its hash before anything changes. Before replacing a library, ti
    asks. It puts the old database aside and keeps every file that database names.
    """
    from ticli.library.upkeep import restoring
    from ticli.paths import places

    output = open_output(json, quiet, verbose, no_color, debug)
    with _opened(file) as backup:
        there = restoring.standing(places())
        if not dry_run and not merge and (there.concepts or there.damaged):
            old = "the damaged library" if there.damaged else f"{there.concepts:,} concepts"
            output.confirm(
                f"Replace {old} in {places().home} by {backup.manifest.get('concepts')} from "
                f"{backup.origin}?",
                yes,
            )
        done = restoring.restore(places(), backup, merge=merge, dry_run=dry_run)
    _show(output, done, dry_run)


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
