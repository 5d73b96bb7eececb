"""`ti list`: the concepts of the library, or the runs that were begun and not finished."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated

import typer

from ticli.commands import options
from ticli.errors import Usage
from ticli.terminal.concept_views import show_concepts
from ticli.terminal.output import Output, columns, is_terminal
from ticli.terminal.safe_text import age

RUN_COLUMNS = columns("NAME", ">STEP", ">TOTAL", "UPDATED")


@options.with_output
def list_concepts(
    output: Output,
    pattern: Annotated[
        str,
        options.argument(
            metavar="PATTERN", help="Names to list; * and ? stand for letters, as in 'mug*'."
        ),
    ] = "",
    tag: options.TagOption = None,
    base: options.BaseOption = "",
    kind: options.KindOption = None,
    since: options.SinceOption = "",
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="KEY[:desc]",
            help="name, created, used or size; :desc turns it round.",
        ),
    ] = "name",
    limit: options.LimitOption = None,
    unfinished: Annotated[
        bool, options.flag("--unfinished", help="List runs that can be continued instead.")
    ] = False,
) -> None:
    """List the concepts of the library."""
    from ticli.library.library import Library, Query
    from ticli.plain_text import moment

    chosen = Query(pattern, tuple(tag or ()), base, kind or "", moment(since) if since else "")
    if unfinished:
        if chosen != Query() or sort != "name":
            raise Usage("--unfinished lists runs, which have no tags, base or order", "leave those")
        _list_runs(output, limit)
        return
    library = Library.open()
    output.detail(f"library: {library.places.database}")
    if not show_concepts(output, library, replace(chosen, sort=sort, limit=limit)):
        output.hint(
            "no concept matches"
            if chosen != Query()
            else 'the library is empty; learn a concept: ti invert PHOTOS --token "<mug>"'
        )


def _list_runs(output: Output, limit: int | None) -> None:
    from ticli.inversion.run_folder import unfinished
    from ticli.paths import places

    runs = unfinished(places().runs)[:limit]
    if output.json:
        keys = ("name", "token", "step", "total", "updated", "live")
        output.document([{key: getattr(run, key) for key in keys} for run in runs])
    else:
        people = is_terminal(sys.stdout)
        rows = [
            (run.name, str(run.step), str(run.total), age(run.updated) if people else run.updated)
            for run in runs
        ]
        output.table(RUN_COLUMNS, rows)
    if not runs:
        output.hint("no unfinished runs")
