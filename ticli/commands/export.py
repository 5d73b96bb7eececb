"""`ti export`: concepts as files for other programs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ticli.commands import options as shared
from ticli.commands.names import given_names
from ticli.errors import Usage
from ticli.terminal.output import open_output, refuse_terminal

if TYPE_CHECKING:
    from ticli.library.library import Library
    from ticli.library.outgoing import Outgoing

STDOUT = "-"


def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...",
            help="Concepts, as mug or <mug>; - reads names from stdin.",
            show_default=False,
        ),
    ] = None,
    all_names: Annotated[bool, typer.Option("--all", help="Every concept.")] = False,
    format: Annotated[
        Literal["diffusers", "emb_params"], typer.Option("--format", help="Layout of the file.")
    ] = "diffusers",
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|DIR|-",
            help="Where to write; - is stdout. Several concepts go into a folder.",
            show_default=False,
        ),
    ] = "",
    force: shared.ForceOption = False,
    json: shared.JsonOption = False,
    quiet: shared.QuietOption = False,
    verbose: shared.VerboseOption = False,
    no_color: shared.NoColorOption = False,
    debug: shared.DebugOption = False,
) -> None:
    """Write concepts to files for other programs."""
    from ticli.library.library import Library
    from ticli.library.outgoing import export_content, plan_files, write_files

    answers = open_output(json, quiet, verbose, no_color, debug)
    library = Library.open()
    wanted = _wanted(library, names or [], all_names)
    if output == STDOUT:
        _check_stdout(json, len(wanted))
        answers.data(export_content(library, wanted[0], format))
        return
    files = plan_files(library, wanted, format, output)
    write_files(files, output, force)
    if json:
        answers.document([_as_json(file, format) for file in files])
        return
    for file in files:
        answers.exact(str(file.path))
    if not files:
        answers.hint("the library is empty: nothing was written")


def _wanted(library: Library, names: Sequence[str], all_names: bool) -> list[str]:
    """The names to export, each known. Raises Usage and NotFound."""
    if all_names and names:
        raise Usage("--all means every concept already", "leave the names out")
    if not all_names and not names:
        raise Usage("no concept was named", "ti export NAME, or ti export --all")
    if all_names:
        return library.names()
    return [library.get(name).name for name in given_names(names)]


def _check_stdout(json: bool, count: int) -> None:
    if json:
        raise Usage("-o - and --json both want stdout", "leave one of them out")
    if count != 1:
        raise Usage(f"-o - writes one concept, not {count}", "give a folder with -o")
    refuse_terminal()


def _as_json(file: Outgoing, format: str) -> dict[str, Any]:
    return {
        "name": file.name,
        "format": format,
        "path": str(file.path),
        "bytes": len(file.content),
        "sha256": hashlib.sha256(file.content).hexdigest(),
    }
