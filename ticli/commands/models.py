"""`ti models`: the models that can be used, and the one that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ticli.commands import options as shared
from ticli.terminal.output import open_output
from ticli.terminal.tables import Column

if TYPE_CHECKING:
    from ticli.models.source import ModelSource

COLUMNS = (
    Column("MODEL"),
    Column("FAMILY"),
    Column("REVISION"),
    Column("PIXELS", right=True),
    Column("LICENSE"),
    Column("CURRENT"),
)


def models(
    json: shared.JsonOption = False,
    quiet: shared.QuietOption = False,
    verbose: shared.VerboseOption = False,
    no_color: shared.NoColorOption = False,
    debug: shared.DebugOption = False,
) -> None:
    """List the models that can be used.

    These are the built-in starter, the configured model, and those of the hub's cache. The
    current one is used where -m names no other: TI_MODEL, the config file, or the starter.
    """
    from ticli.errors import ModelUnavailable
    from ticli.models.source import locate, usable
    from ticli.settings import load_settings

    output = open_output(json, quiet, verbose, no_color, debug)
    settings = load_settings()
    configured = settings["model"]
    found = usable(configured)
    current = ""
    try:
        current = locate(configured, offline=settings["offline"] == "true").id
    except ModelUnavailable as error:
        output.warn(f"the current model ({settings.origin('model')}): {error.message}")
    if json:
        output.document([_as_json(source, source.id == current) for source in found])
    else:
        output.table(COLUMNS, [_row(source, source.id == current) for source in found])
    output.hint("choose one with -m MODEL, TI_MODEL, or: ti config set model MODEL")


def _row(source: ModelSource, current: bool) -> tuple[str, ...]:
    return (
        source.id,
        source.family,
        source.revision[:8],
        str(source.size),
        source.license,
        "*" if current else "",
    )


def _as_json(source: ModelSource, current: bool) -> dict[str, Any]:
    return {
        "id": source.id,
        "family": source.family,
        "revision": source.revision,
        "widths": dict(source.widths),
        "windows": dict(source.windows),
        "size": source.size,
        "license": source.license,
        "folder": str(source.folder),
        "current": current,
    }
