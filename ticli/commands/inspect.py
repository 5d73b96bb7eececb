"""`ti inspect`: say what a file is and what it holds, without importing it."""

from __future__ import annotations

from typing import Annotated

from ticli.commands import options
from ticli.terminal.output import Output


@options.with_output
def inspect(
    output: Output,
    files: Annotated[
        list[str],
        options.argument(
            metavar="FILE...", help="Files, or a concept's folder; - reads one from stdin."
        ),
    ],
) -> None:
    """Say what files are and which concepts they hold.

    Nothing is imported. Each concept is shown with the name that an import would give it. If a file
    cannot be imported, its page says why; that is no failure. -v shows all metadata.
    """
    from ticli.commands.arguments import path_or_stdin
    from ticli.errors import BadContent
    from ticli.interface import usable_widths
    from ticli.library.importing import Wanted, inspect_sources, open_sources, refused
    from ticli.terminal.concept_views import show_inspections

    found = []
    for file in files:
        try:
            with open_sources(path_or_stdin(file)) as sources:
                found += inspect_sources(sources, Wanted(usable=usable_widths))
        except BadContent as error:
            found.append(refused(file, 0, error))
    show_inspections(output, found)
