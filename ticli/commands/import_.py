"""`ti import`: files of learned words into the library."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticli.commands import options as shared
from ticli.errors import Usage
from ticli.terminal.output import is_terminal, open_output

if TYPE_CHECKING:
    from ticli.library.incoming import LearnedOn, Source

STDIN = "-"


def import_files(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Files of learned words; - reads one from stdin.",
            show_default=False,
        ),
    ],
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            "-t",
            metavar="TOKEN",
            help="What the word is called here; by default as the file says.",
            show_default=False,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="MODEL",
            help="The model it was learned on, where the file does not say.",
            show_default=False,
        ),
    ] = None,
    replace: shared.ReplaceOption = False,
    json: shared.JsonOption = False,
    quiet: shared.QuietOption = False,
    verbose: shared.VerboseOption = False,
    no_color: shared.NoColorOption = False,
    debug: shared.DebugOption = False,
) -> None:
    """Take learned words from files.

    Read are files of ti itself and the diffusers and emb_params layouts, all as safetensors.
    Several files are all taken or, where one of them cannot be, none.
    """
    from ticli.library.incoming import read_incoming, store_all
    from ticli.library.library import Library

    output = open_output(json, quiet, verbose, no_color, debug)
    if token is not None and len(files) > 1:
        raise Usage("--token names one word, and there are several files", "import them one by one")
    library = Library.open()
    learned_on = _learned_on(base) if base is not None else None
    widths = _usable_widths()
    words = [read_incoming(_source(file), token, learned_on, widths) for file in files]
    for word in words:
        for warning in word.warnings:
            output.warn(warning)
    added = store_all(library, words, replace)
    if json:
        output.document([concept.as_json() for concept in added])
    else:
        output.lines([concept.name for concept in added])


def _source(file: str) -> Source:
    from ticli.library.formats.importing import LARGEST_FILE, read_source
    from ticli.library.incoming import Source

    if file != STDIN:
        path = Path(file)
        return Source(read_source(path), file, path.stem)
    if sys.stdin is None or is_terminal(sys.stdin):
        raise Usage("- reads a file from a pipe", "ssh HOST ti export mug -o - | ti import -")
    return Source(sys.stdin.buffer.read(LARGEST_FILE + 1), "stdin", "")


def _learned_on(name: str) -> LearnedOn:
    from ticli.concept import BaseModel
    from ticli.library.incoming import LearnedOn
    from ticli.models.fingerprint import fingerprint
    from ticli.models.source import locate
    from ticli.settings import load_settings

    source = locate(name, offline=load_settings()["offline"] == "true")
    base = BaseModel(source.family, source.id, source.revision, fingerprint(source))
    return LearnedOn(base, source.widths)


def _usable_widths() -> set[int]:
    """The widths of every model on this machine: a word of one of them can be used here."""
    from ticli.models.source import usable
    from ticli.settings import load_settings

    return {width for model in usable(load_settings()["model"]) for width in model.widths.values()}
