"""Names given to a command, with those that `-` stands for."""

from __future__ import annotations

from collections.abc import Iterable

from ticli.errors import Usage
from ticli.names import lookup_name
from ticli.terminal.standard_input import piped


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
