"""`ti backup`: the whole library in one file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticli.commands import options
from ticli.errors import Conflict
from ticli.terminal.output import Output, refuse_terminal
from ticli.terminal.safe_text import byte_text

if TYPE_CHECKING:
    from ticli.library.upkeep.backups import Backup


@options.with_output
def backup(
    output: Output,
    file: Annotated[str, options.argument(metavar="FILE", help="The file to write; - is stdout.")],
    force: options.ForceOption = False,
) -> None:
    """Write the whole library to one file.

    It holds the concepts with their tags, notes and scores, and the photos that were kept. Other
    commands can run meanwhile. Settings and unfinished runs are not in it.
    """
    from ticli.durable import writing
    from ticli.library.upkeep.backups import back_up
    from ticli.paths import places

    path = Path(file)
    if file == "-":
        output.refuse_json("-")
        refuse_terminal()
        if sys.stdout is None:
            raise BrokenPipeError
        done = back_up(places(), sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        # Refuse before the work; an existing file is never overwritten either way.
        if not force and os.path.lexists(path):
            raise Conflict(f"{path} exists already", "choose another name, or give --force")
        with writing(path, replace=force) as out:
            done = back_up(places(), out)
    _show(output, file, done)


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
    elif file != "-":
        output.exact(file)
    size = byte_text(done.bytes)
    output.note(f"{done.concepts:,} concepts and {done.photos:,} photos, {size}")
    if done.left_out:
        raise typer.Exit(1)
