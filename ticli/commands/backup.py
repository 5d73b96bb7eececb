"""`ti backup`: the whole library in one file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticli.commands import options
from ticli.errors import Usage
from ticli.terminal.output import Output, open_output, refuse_terminal
from ticli.terminal.safe_text import byte_text

if TYPE_CHECKING:
    from ticli.library.upkeep.backups import Backup


STDOUT = "-"


def backup(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="The file to write; - is stdout.", show_default=False),
    ],
    force: options.ForceOption = False,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Write the whole library to one file.

    It holds the concepts with their tags, notes and scores, and the photos that were kept. Other
    commands can run meanwhile. Settings and unfinished runs are not in it.
    """
    from ticli.library.upkeep.backups import back_up
    from ticli.paths import places

    output = open_output(json, quiet, verbose, no_color, debug)
    if file == STDOUT:
        if json:
            raise Usage("- and --json both want stdout", "leave one of them out")
        refuse_terminal()
        if sys.stdout is None:
            raise BrokenPipeError
        done = back_up(places(), sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        done = _to_file(Path(file), force)
    _show(output, file, done)


def _to_file(path: Path, force: bool) -> Backup:
    from ticli.durable import writing
    from ticli.errors import Conflict
    from ticli.library.upkeep.backups import back_up
    from ticli.paths import places

    # Refuse before the work; an existing file is never overwritten either way.
    if not force and os.path.lexists(path):
        raise Conflict(f"{path} exists already", "choose another name, or give --force")
    with writing(path, replace=force) as out:
        return back_up(places(), out)


def _show(output: Output, file: str, done: Backup) -> None:
    for name, problem in done.left_out.items():
        output.warn(f"{name} is not in the backup whole: {problem}")
    if output.json:
        output.document(
            {
                "path": file,
                "bytes": Path(file).stat().st_size,
                "concepts": done.concepts,
                "photos": done.photos,
                "left_out": [{"name": n, "message": why} for n, why in done.left_out.items()],
            }
        )
    elif file != STDOUT:
        output.exact(file)
    size = byte_text(done.bytes)
    output.note(f"{done.concepts:,} concepts and {done.photos:,} photos, {size}")
    if done.left_out:
        raise typer.Exit(1)
