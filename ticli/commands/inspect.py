"""`ti inspect`: say what a file is and what it holds, without importing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ticli.commands import options
from ticli.terminal.output import open_output

if TYPE_CHECKING:
    from ticli.library.importing import Inspection


def inspect(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Files, or a concept's folder; - reads one from stdin.",
            show_default=False,
        ),
    ],
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Say what files are and which concepts they hold.

    Nothing is imported. Each concept is shown with the name that an import would give it. If a file
    cannot be imported, its page says why; that is no failure. -v shows all metadata.
    """
    from ticli.terminal.concept_views import show_inspections

    output = open_output(json, quiet, verbose, no_color, debug)
    show_inspections(output, [found for file in files for found in _inspected(file)])


def _inspected(file: str) -> list[Inspection]:
    """The files behind one name. Raises NotFound."""
    from ticli.commands.arguments import opened_files
    from ticli.commands.import_ import usable_widths
    from ticli.errors import BadContent
    from ticli.library.importing import Wanted, inspect_sources, refused

    try:
        with opened_files(file) as sources:
            return inspect_sources(sources, Wanted(usable=usable_widths(lambda reason: None)))
    except BadContent as error:
        return [refused(file, 0, error)]
