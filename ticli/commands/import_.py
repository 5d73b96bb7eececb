"""`ti import`: add concepts from files to the library."""

from __future__ import annotations

from typing import Annotated

from ticli.commands import options
from ticli.errors import Usage
from ticli.terminal.output import Output


@options.with_output
def import_files(
    output: Output,
    files: Annotated[
        list[str],
        options.argument(
            metavar="FILE...",
            help="Files, folders or zips of them, or a concept's folder; - reads stdin.",
        ),
    ],
    token: Annotated[
        str | None,
        options.flag(
            "--token",
            "-t",
            metavar="TOKEN",
            help="The token to give it here; if a file holds several, the one to take.",
        ),
    ] = None,
    everything: Annotated[
        bool, options.flag("--all", help="Take every concept of a file that holds several.")
    ] = False,
    base: Annotated[
        str | None,
        options.flag(
            "--base",
            metavar="MODEL",
            help="The model it was learned on, where the file does not say.",
        ),
    ] = None,
    force: Annotated[
        bool,
        options.flag("--force", help="Take vectors that are not those of the file's own SHA-256."),
    ] = False,
    replace: options.ReplaceOption = False,
) -> None:
    """Import concepts from files.

    ti reads safetensors and torch files of ti, diffusers, AUTOMATIC1111, kohya, OneTrainer and
    others, pictures that carry a concept, and concept folders. It never runs anything in them. If
    one of several files cannot be imported, none is; in a folder or zip of many it is left out. ti
    inspect shows what a file holds.
    """
    from ticli.commands.arguments import path_or_stdin
    from ticli.interface import ConceptLibrary

    if files.count("-") > 1:
        raise Usage("- can stand once", "stdin holds one file")
    added = ConceptLibrary.open().import_(
        [path_or_stdin(file) for file in files],
        token,
        everything=everything,
        base=base,
        replace=replace,
        any_hash=force,
        on_event=output.hear,
    )
    if output.json:
        output.document([concept.as_json() for concept in added])
    else:
        output.lines([concept.name for concept in added])
