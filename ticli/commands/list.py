"""`ti list`: the concepts of the library, or the runs that were begun and not finished."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ticli.commands import options
from ticli.errors import Usage
from ticli.terminal.concept_views import show_concepts
from ticli.terminal.output import Column, Output, is_terminal, open_output
from ticli.terminal.safe_text import age

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ticli.inversion.run_folder import UnfinishedRun


RUN_COLUMNS = (
    Column("NAME"),
    Column("STEP", right=True),
    Column("TOTAL", right=True),
    Column("UPDATED"),
)


def list_concepts(
    pattern: Annotated[
        str,
        typer.Argument(
            metavar="PATTERN",
            help="Names to list; * and ? stand for letters, as in 'mug*'.",
            show_default=False,
        ),
    ] = "",
    tag: options.TagOption = None,
    base: options.BaseOption = None,
    kind: options.KindOption = None,
    since: options.SinceOption = None,
    sort: options.SortOption = "name",
    limit: options.LimitOption = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="List runs that can be continued instead.")
    ] = False,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """List the concepts of the library."""
    from dataclasses import replace

    from ticli.library.library import Library, Query
    from ticli.plain_text import moment

    output = open_output(json, quiet, verbose, no_color, debug)
    chosen = Query(
        pattern,
        tuple(tag or ()),
        base or "",
        kind or "",
        moment(since) if since else "",
    )
    query = replace(chosen, sort=sort, limit=limit)
    if unfinished:
        if query != Query(sort="name", limit=limit):
            raise Usage("--unfinished lists runs, which have no tags, base or order", "leave those")
        _list_runs(output, limit)
        return
    library = Library.open()
    output.detail(f"library: {library.places.database}")
    if not show_concepts(output, library, query):
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
        output.document([_as_json(run) for run in runs])
    else:
        output.table(RUN_COLUMNS, _rows(runs))
    if not runs:
        output.hint("no unfinished runs")


def _rows(runs: Sequence[UnfinishedRun]) -> list[tuple[str, ...]]:
    people = is_terminal(sys.stdout)
    return [
        (run.name, str(run.step), str(run.total), age(run.updated) if people else run.updated)
        for run in runs
    ]


def _as_json(run: UnfinishedRun) -> dict[str, str | int | bool]:
    return {
        "name": run.name,
        "token": run.token,
        "step": run.step,
        "total": run.total,
        "updated": run.updated,
        "live": run.live,
    }
