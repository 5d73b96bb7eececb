"""Names and files given to a command; `-` stands for stdin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ticli.errors import BadContent, Usage
from ticli.names import lookup_name
from ticli.terminal.input import piped

if TYPE_CHECKING:
    from ticli.library.formats.containers import Opened


def given_names(arguments: Iterable[str]) -> list[str]:
    """Return the names in order, each once; `-` stands for the lines of stdin.

    Raises Usage where `-` would read from a terminal.
    """
    return list(dict.fromkeys(lookup_name(name) for name in given_words(arguments)))


def given_words(arguments: Iterable[str]) -> list[str]:
    """Return names and paths as they were typed, each once; `-` as in given_names."""
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


def path_or_stdin(file: str) -> Path | Opened:
    """The path of a file, or stdin as a file where it is `-`. Raises BadContent and Usage."""
    from ticli.library.formats.containers import LARGEST_FILE, in_memory

    if "://" in file:
        raise Usage(f"{file} is an address, not a file", "curl -sL ADDRESS | ti import -")
    if file != "-":
        return Path(file)
    sent = piped("- reads a file from a pipe", "ssh HOST ti export mug -o - | ti import -")
    data = sent.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise BadContent(
            f"stdin has more than {LARGEST_FILE >> 20} MiB", "give larger files by name"
        )
    return in_memory(data, "stdin")
