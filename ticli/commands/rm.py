"""`ti rm`: concepts and unfinished runs taken out of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from ticli.commands import options
from ticli.commands.arguments import given_names
from ticli.errors import NotFound
from ticli.names import did_you_mean, nearest
from ticli.paths import places
from ticli.terminal.output import Output

if TYPE_CHECKING:
    from ticli.concept import Concept
    from ticli.inversion.run_folder import UnfinishedRun
    from ticli.library.library import Library


MOST_NAMED = 10


@options.with_output
def rm(
    output: Output,
    names: Annotated[list[str], options.NAMES],
    unfinished: Annotated[
        bool, options.flag("--unfinished", help="Only unfinished runs, no concepts.")
    ] = False,
    yes: options.YesOption = False,
    dry_run: options.DryRunOption = False,
) -> None:
    """Remove concepts and unfinished runs.

    A name stands for the concept and for an unfinished run of that name.

    If one of the names is unknown, nothing is removed.
    """
    from ticli.inversion.run_folder import discard
    from ticli.inversion.run_folder import unfinished as find_runs
    from ticli.library.library import Library

    library = Library.open()
    all_runs = {run.name: run for run in find_runs(places().runs)}
    wanted = given_names(names)
    concepts = _find(wanted, None if unfinished else library, all_runs)
    removed = [concept.name for concept in concepts]
    stopped = [name for name in wanted if name in all_runs]
    if (removed or stopped) and not dry_run:
        parts = [*removed, *(f"the unfinished run of {name}" for name in stopped)]
        more = len(parts) - MOST_NAMED
        shown = [*parts[:MOST_NAMED], f"{more:,} more"] if more > 1 else parts
        output.confirm(f"Remove {', '.join(shown)}?", yes)
        if removed:
            library.remove(removed)
        for name in stopped:
            discard(all_runs[name])
    if output.json:
        output.document(
            {
                "removed": removed,
                "unfinished": stopped,
                "bytes": sum(concept.bytes for concept in concepts),
                "dry_run": dry_run,
            }
        )
    else:
        output.lines(dict.fromkeys([*removed, *stopped]))
    if dry_run:
        output.note("nothing was removed (--dry-run)")


def _find(
    names: Sequence[str], library: Library | None, runs: Mapping[str, UnfinishedRun]
) -> list[Concept]:
    """The concepts of these names. Raises NotFound if a name has neither a concept nor a run."""
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
    return list(found.values())
