"""`ti doctor`: what is wrong with this machine and this library, and what puts it right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from ticli.commands import options
from ticli.errors import Check, TiError, counted, some_of
from ticli.paths import places
from ticli.terminal.model_views import show_checks
from ticli.terminal.output import Output


@options.with_output
def doctor(
    output: Output,
    rebuild: Annotated[
        bool,
        options.flag(
            "--rebuild", help="Rebuild a lost or damaged database from the files of the concepts."
        ),
    ] = False,
    fast: Annotated[
        bool, options.flag("--fast", help="Leave out the device, which needs torch.")
    ] = False,
) -> None:
    """Find what is wrong and say what puts it right.

    Each line is ok, warn or fail; the exit code is 1 if something failed. Only --rebuild changes
    anything: it moves the old database aside and never removes it.
    """
    if not show_checks(output, _checks(output, rebuild, fast)):
        raise typer.Exit(1)


def _checks(output: Output, rebuild: bool, fast: bool) -> Iterator[Check]:
    from ticli.inversion.run_folder import check_runs
    from ticli.library.upkeep.checking import check_library
    from ticli.models.info import check_device, check_model, check_versions
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
    from ticli.library.upkeep.rebuilding import rebuild

    rebuilt = rebuild(places())
    if not rebuilt.needed:
        yield Check("rebuild", "ok", "the database is whole; it stays as it is")
        return
    message = f"{counted(len(rebuilt.names), 'concept is', 'concepts are')} back"
    if rebuilt.put_aside:
        message += f"; the old database is now {rebuilt.put_aside}"
    yield Check("rebuild", "ok", message, items=rebuilt.names)
    if lost := len(rebuilt.names) - rebuilt.kept_later:
        output.warn(
            f"of {counted(lost, 'concept')} the files do not say which tags and notes were changed "
            "after they were stored, their scores and when they were last used; concepts removed "
            "just before a crash may be back"
        )
    for kind, found, what, fix in (
        ("unreadable", rebuilt.unreadable, "without a concept", "put them back from a backup"),
        (
            "left-out",
            rebuilt.left_out,
            "of older or removed concepts left out",
            "ti import brings one back, ti prune removes them",
        ),
    ):
        if found:
            paths = tuple(map(str, found))
            message = f"{counted(len(paths), 'file')} {what}: {some_of(paths)}"
            yield Check(f"rebuild-{kind}", "warn", message, fix, paths)
