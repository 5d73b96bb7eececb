"""`ti doctor`: what is wrong with this machine and this library, and what puts it right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ticli.commands import options
from ticli.terminal.model_views import show_checks
from ticli.terminal.output import Output, open_output

if TYPE_CHECKING:
    from ticli.errors import Check


def doctor(
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild", help="Rebuild a lost or damaged database from the files of the concepts."
        ),
    ] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Leave out the device, which needs torch.")
    ] = False,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Find what is wrong and say what puts it right.

    Each line is ok, warn or fail; the exit code is 1 if something failed. Only --rebuild changes
    anything: it moves the old database aside and never removes it.
    """
    output = open_output(json, quiet, verbose, no_color, debug)
    if not show_checks(output, _checks(output, rebuild, fast)):
        raise typer.Exit(1)


def _checks(output: Output, rebuild: bool, fast: bool) -> Iterator[Check]:
    from ticli.errors import Check, TiError
    from ticli.inversion.run_folder import check_runs
    from ticli.library.upkeep.checking import check_library
    from ticli.models.info import check_device, check_model, check_versions
    from ticli.paths import places
    from ticli.settings import load_settings

    if rebuild:
        yield from _rebuild(output)
    yield from check_versions()
    try:
        settings = load_settings()
    except TiError as error:
        yield Check("config", "fail", error.message, error.hint)
    else:
        yield Check("config", "ok", str(places().config))
        yield check_model(settings["model"], settings.origin("model"))
        if not fast:
            yield check_device(settings["device"], settings["dtype"])
    yield from check_library(places())
    yield from check_runs(places().runs)


def _rebuild(output: Output) -> Iterator[Check]:
    from ticli.errors import Check, counted, some_of
    from ticli.library.upkeep.rebuilding import rebuild
    from ticli.paths import places

    rebuilt = rebuild(places())
    if not rebuilt.needed:
        yield Check("rebuild", "ok", "the database is whole; it stays as it is")
        return
    said = f"{counted(len(rebuilt.names), 'concept is', 'concepts are')} back"
    if rebuilt.put_aside:
        said += f"; the old database is now {rebuilt.put_aside}"
    yield Check("rebuild", "ok", said, items=rebuilt.names)
    lost = len(rebuilt.names) - rebuilt.kept_later
    if lost:
        output.warn(
            f"of {counted(lost, 'concept')} the files do not say which tags and notes were changed "
            "after they were stored, their scores and when they were last used; concepts removed "
            "just before a crash may be back"
        )
    if rebuilt.unreadable:
        paths = [str(path) for path in rebuilt.unreadable]
        said = f"{counted(len(paths), 'file')} without a concept: {some_of(paths)}"
        yield Check("rebuild-unreadable", "warn", said, "put them back from a backup", tuple(paths))
    if rebuilt.left_out:
        paths = [str(path) for path in rebuilt.left_out]
        said = (
            f"{counted(len(paths), 'file')} of older or removed concepts left out: {some_of(paths)}"
        )
        fix = "ti import brings one back, ti prune removes them"
        yield Check("rebuild-left-out", "warn", said, fix, tuple(paths))
