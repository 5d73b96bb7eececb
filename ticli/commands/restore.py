"""`ti restore`: a library out of a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ticli.commands import options
from ticli.paths import places
from ticli.terminal.input import piped
from ticli.terminal.output import Output


@options.with_output
def restore(
    output: Output,
    file: Annotated[
        str, options.argument(metavar="FILE", help="A file that ti backup wrote; - is stdin.")
    ],
    merge: Annotated[
        bool, options.flag("--merge", help="Add to the library that is there; replace nothing.")
    ] = False,
    yes: options.YesOption = False,
    dry_run: options.DryRunOption = False,
) -> None:
    """Bring a library back from a backup.

    Every file is compared with its hash before anything changes. Before replacing a library, ti
    asks. It puts the old database aside and keeps every file that database names.
    """
    from ticli.library.upkeep import restoring
    from ticli.library.upkeep.backups import open_backup, open_backup_stream

    if file == "-":
        sent = piped("- reads a backup from a pipe", "ssh HOST ti backup - | ti restore -")
        opened = open_backup_stream(sent)
    else:
        opened = open_backup(Path(file))
    with opened as backup:
        there = restoring.standing(places())
        if not dry_run and not merge and (there.concepts or there.damaged):
            old = "the damaged library" if there.damaged else f"{there.concepts:,} concepts"
            output.confirm(
                f"Replace {old} in {places().home} by {backup.manifest.get('concepts')} from "
                f"{backup.origin}?",
                yes,
            )
        done = restoring.restore(places(), backup, merge=merge, dry_run=dry_run)
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
        output.lines(done.names)
    if done.skipped:
        output.note(f"{len(done.skipped):,} concepts were here already")
    if done.put_aside:
        output.note(f"the old database is now {done.put_aside}")
    if dry_run:
        output.note("nothing was changed (--dry-run)")
