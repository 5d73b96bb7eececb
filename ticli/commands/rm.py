"""`ti rm`: concepts and unfinished runs taken out of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ticli.commands import options
from ticli.commands.arguments import given_names
from ticli.errors import NotFound
from ticli.names import did_you_mean, nearest
from ticli.terminal.output import open_output

if TYPE_CHECKING:
    from ticli.concept import Concept
    from ticli.inversion.run_folder import UnfinishedRun
    from ticli.library.library import Library


MOST_NAMED = 10


@dataclass(frozen=True)
class Doomed:
    """What will be removed."""

    concepts: tuple[Concept, ...]
    runs: tuple[UnfinishedRun, ...]

    @property
    def names(self) -> list[str]:
        concepts = [concept.name for concept in self.concepts]
        return list(dict.fromkeys([*concepts, *(run.name for run in self.runs)]))

    def question(self) -> str:
        """What the user is asked."""
        parts = [concept.name for concept in self.concepts]
        parts += [f"the unfinished run of {run.name}" for run in self.runs]
        more = len(parts) - MOST_NAMED
        if more > 1:
            parts = [*parts[:MOST_NAMED], f"{more:,} more"]
        return f"Remove {', '.join(parts)}?"


def rm(
    names: options.NamesArgument,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Only unfinished runs, no concepts.")
    ] = False,
    yes: options.YesOption = False,
    dry_run: options.DryRunOption = False,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Remove concepts and unfinished runs.

    A name stands for its concept and for a run of that name that was not finished.

    All are removed or, where one of the names is unknown, none.
    """
    from ticli.inversion.run_folder import discard
    from ticli.inversion.run_folder import unfinished as find_runs
    from ticli.library.library import Library
    from ticli.paths import places

    output = open_output(json, quiet, verbose, no_color, debug)
    library = Library.open()
    runs = {run.name: run for run in find_runs(places().runs)}
    doomed = _find(given_names(names), None if unfinished else library, runs)
    if doomed.names and not dry_run:
        output.confirm(doomed.question(), yes)
        if doomed.concepts:
            library.remove([concept.name for concept in doomed.concepts])
        for run in doomed.runs:
            discard(run)
    if json:
        output.document(
            {
                "removed": [concept.name for concept in doomed.concepts],
                "unfinished": [run.name for run in doomed.runs],
                "bytes": sum(concept.bytes for concept in doomed.concepts),
                "dry_run": dry_run,
            }
        )
    else:
        output.lines(doomed.names)
    if dry_run:
        output.note("nothing was removed (--dry-run)")


def _find(
    names: Sequence[str], library: Library | None, runs: Mapping[str, UnfinishedRun]
) -> Doomed:
    """Find everything that bears these names. Raises NotFound naming those that nothing bears."""
    found = library.find_all(names) if library else {}
    missing = [name for name in names if name not in found and name not in runs]
    if missing:
        known = [*(library.names() if library else []), *runs]
        listing = "ti list shows all" if library else "ti list --unfinished shows all"
        raise NotFound(
            f"no {'concept' if library else 'unfinished run'} named "
            f"{', '.join(map(repr, missing))}",
            did_you_mean(missing, known, listing),
            names=missing,
            nearest=nearest(missing, known),
        )
    return Doomed(
        tuple(found.values()),
        tuple(runs[name] for name in names if name in runs),
    )
