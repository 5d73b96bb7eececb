"""`ti import`: add concepts from files to the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ticli.commands import options
from ticli.errors import Usage
from ticli.terminal.output import open_output

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ticli.library.importing import LearnedOn


def import_files(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Files, or a concept's folder; - reads a file from stdin.",
            show_default=False,
        ),
    ],
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            "-t",
            metavar="TOKEN",
            help="The token to give it here; if a file holds several, the one to take.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Take every concept of a file that holds several.")
    ] = False,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="MODEL",
            help="The model it was learned on, where the file does not say.",
            show_default=False,
        ),
    ] = None,
    replace: options.ReplaceOption = False,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Import concepts from files.

    ti reads safetensors and torch files of ti, diffusers, AUTOMATIC1111, kohya, OneTrainer and
    others, pictures that carry a concept, and concept folders. It never runs anything in them. If
    one of several files cannot be imported, none is. ti inspect shows what a file holds.
    """
    from ticli.commands.arguments import read_files
    from ticli.library.importing import Wanted, choose_words, join_pairs, store_all
    from ticli.library.library import Library

    output = open_output(json, quiet, verbose, no_color, debug)
    if token is not None and everything:
        raise Usage("--token takes one concept and --all takes every one", "choose one of them")
    library = Library.open()
    learned_on = _learned_on(base) if base is not None else None
    wanted = Wanted(token, everything, learned_on, usable_widths(output.detail))
    contents = join_pairs(read_files(files, wanted))
    if token is not None and len(contents) > 1:
        raise Usage(
            "--token names one concept, and there are several files", "import them one by one"
        )
    words = [word for read in contents for word in choose_words(read, wanted)]
    for read in contents:
        for note in read.notes:
            output.note(note)
    for word in words:
        for warning in word.warnings:
            output.warn(warning)
    added = store_all(library, words, replace)
    if json:
        output.document([concept.as_json() for concept in added])
    else:
        output.lines([concept.name for concept in added])


def _learned_on(name: str) -> LearnedOn:
    from ticli.concept import BaseModel
    from ticli.library.importing import LearnedOn
    from ticli.models.fingerprint import fingerprint
    from ticli.models.locate import locate
    from ticli.settings import load_settings

    source = locate(name, offline=load_settings()["offline"] == "true")
    base = BaseModel(source.family, source.id, source.revision, fingerprint(source))
    return LearnedOn(base, source.widths)


def usable_widths(report: Callable[[str], None]) -> Callable[[], Collection[int]]:
    """Return a function that gives the widths of every model on this machine.

    It is called only for a width that no table knows. A cache that cannot be read is reported and
    skipped.
    """

    def ask() -> Collection[int]:
        from ticli.models.locate import usable
        from ticli.settings import load_settings

        try:
            models = usable(load_settings()["model"])
        except (OSError, ValueError) as error:
            report(f"the hub cache cannot be read: {error}")
            return set()
        return {width for model in models for width in model.widths.values()}

    return ask
