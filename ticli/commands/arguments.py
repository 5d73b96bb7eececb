"""Names given to a command, with those that `-` stands for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ticli.errors import BadContent, Usage
from ticli.names import lookup_name
from ticli.terminal.input import piped

if TYPE_CHECKING:
    from ticli.library.formats.containers import Opened
    from ticli.library.formats.embedding import Contents
    from ticli.library.importing import Source, Wanted


def given_names(arguments: Iterable[str]) -> list[str]:
    """Return the names in order, each once; `-` stands for the lines of stdin.

    Raises Usage where `-` would read from a terminal.
    """
    return list(dict.fromkeys(lookup_name(name) for name in given_words(arguments)))


def given_words(arguments: Iterable[str]) -> list[str]:
    """Return names and paths as they were typed, each once; `-` stands for the lines of stdin.

    Raises Usage where `-` would read from a terminal.
    """
    words: list[str] = []
    for argument in arguments:
        words += _lines() if argument == "-" else [argument]
    return list(dict.fromkeys(words))


def _lines() -> list[str]:
    names = piped("- reads names from a pipe or file", "ti list -q | ti … -")
    try:
        text = names.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise Usage("the names on stdin are not UTF-8 text", "write them in UTF-8") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


# The files that a command names, read as what they hold; `-` is stdin.

STDIN = "-"


def read_files(files: Sequence[str], wanted: Wanted) -> list[Contents]:
    """Read every file that is named. Raises NotFound, BadContent and Usage."""
    from ticli.library.importing import read_source

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
    from ticli.library.importing import Source, open_sources

    if file == STDIN:
        yield [Source(_stdin(), "")]
        return
    with open_sources(Path(file)) as sources:
        yield sources


def _stdin() -> Opened:
    from ticli.library.formats.containers import LARGEST_FILE, in_memory

    file = piped("- reads a file from a pipe", "ssh HOST ti export mug -o - | ti import -")
    data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise BadContent(
            f"stdin has more than {LARGEST_FILE >> 20} MiB", "give larger files by name"
        )
    return in_memory(data, "stdin")
