"""The files that a command names, read as what they hold; `-` is stdin."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ticli.errors import BadContent, Usage
from ticli.terminal.standard_input import piped

if TYPE_CHECKING:
    from ticli.library.formats.importing import Contents
    from ticli.library.formats.reading.opened import Opened
    from ticli.library.incoming import Source, Wanted

STDIN = "-"


def read_files(files: Sequence[str], wanted: Wanted) -> list[Contents]:
    """Read every file that is named. Raises NotFound, BadContent and Usage."""
    from ticli.library.incoming import read_source

    if files.count(STDIN) > 1:
        raise Usage("- can stand once", "stdin holds one file")
    contents: list[Contents] = []
    for file in files:
        with opened_files(file) as sources:
            contents += [read_source(source, wanted) for source in sources]
    return contents


@contextlib.contextmanager
def opened_files(file: str) -> Iterator[Sequence[Source]]:
    """Open what one name stands for: a file, the files of a folder, stdin.

    Raises NotFound, BadContent and Usage.
    """
    from ticli.library.incoming import Source
    from ticli.library.sources import open_sources

    if file == STDIN:
        yield [Source(_stdin(), "")]
        return
    with open_sources(Path(file)) as sources:
        yield sources


def _stdin() -> Opened:
    from ticli.library.formats.reading.opened import LARGEST_FILE, in_memory

    file = piped("- reads a file from a pipe", "ssh HOST ti export mug -o - | ti import -")
    data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise BadContent(
            f"stdin has more than {LARGEST_FILE >> 20} MiB", "give larger files by name"
        )
    return in_memory(data, "stdin")
