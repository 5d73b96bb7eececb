"""Models as a table, and one model in full."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ticli.errors import Check
from ticli.terminal.output import (
    Column,
    Output,
    is_terminal,
    painted,
    say,
    tab_separated,
    write_line,
)
from ticli.terminal.safe_text import byte_text, safe_text

if TYPE_CHECKING:
    from ticli.models.download import Parcel


COLUMNS = (
    Column("MODEL"),
    Column("NAME"),
    Column("FAMILY"),
    Column("REVISION"),
    Column("PIXELS", right=True),
    Column("SIZE", right=True),
    Column("LICENSE"),
    Column("CURRENT"),
)


def table_of_models(output: Output, models: Sequence[Mapping[str, Any]]) -> None:
    """Write models as JSON or as a table."""
    if output.json:
        output.document(list(models))
        return
    output.table(
        COLUMNS,
        [
            (
                model["id"],
                ", ".join(model["names"]),
                model["family"],
                model["revision"][:8],
                str(model["size"] or ""),
                _bytes(model),
                model["license"],
                "*" if model["current"] else "",
            )
            for model in models
        ],
    )


def _bytes(model: Mapping[str, Any]) -> str:
    """How much of the disk a model takes, or that it cannot be used."""
    if not model["problem"]:
        return byte_text(model["bytes"])
    return "unusable" if model["here"] else "not here"


def show_model(output: Output, model: Mapping[str, Any]) -> None:
    """Write all that is known of a model."""
    if output.json:
        output.document(model)
        return
    if output.quiet:
        output.exact(model["folder"])
        return
    encoders = [
        f"{key}: {width} numbers a vector, {model['windows'][key]} tokens"
        for key, width in model["widths"].items()
    ]
    defaults = model["defaults"]
    output.pairs(
        [
            ("model", model["id"]),
            *([("names", ", ".join(model["names"]))] if model["names"] else []),
            ("family", f"{model['family']} ({model['pipeline']})"),
            ("revision", model["revision"]),
            ("folder", model["folder"]),
            ("on disk", byte_text(model["bytes"])),
            ("encoders", "; ".join(encoders)),
            ("pixels", f"{model['size']}, sides multiples of {model['grain']}"),
            (
                "defaults",
                f"{defaults['sampler']}, {defaults['steps']} steps, "
                f"guidance {defaults['guidance']:g}",
            ),
            ("fingerprint", model["fingerprint"]),
            *(("note", note) for note in model["notes"]),
        ]
    )


# What is said before a model is downloaded.


def announcer(output: Output) -> Callable[[Parcel], None]:
    """Say what is downloaded and where it goes, --quiet or not; bars follow on a terminal only."""

    def announce(parcel: Parcel) -> None:
        from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

        shown = not output.quiet and not output.json and is_terminal(sys.stderr)
        (enable_progress_bars if shown else disable_progress_bars)()
        files = f"{len(parcel.files)} file{'' if len(parcel.files) == 1 else 's'}"
        size = byte_text(parcel.bytes)
        say(safe_text(f"downloading {parcel.id}: {files}, {size}, into {parcel.cache}"))

    return announce


# What `ti doctor` found, one line a check as it is made, or as one document.

CHECK_COLUMNS = (Column("STATUS"), Column("CHECK"), Column("MESSAGE"), Column("FIX"))
STYLES = {"ok": "32", "warn": "33", "fail": "1;31"}


def show_checks(output: Output, checks: Iterable[Check]) -> bool:
    """Show checks as they come; return whether none of them failed.

    With --quiet only what is not well is named.
    """
    seen = []
    for check in checks:
        seen.append(check)
        if output.json:
            continue
        if output.quiet:
            if check.status != "ok":
                output.line(check.id)
        elif is_terminal(sys.stdout):
            write_line(_line(output, check))
        else:
            row = (check.status, check.id, check.message, check.fix)
            heading, line = tab_separated(CHECK_COLUMNS, [row])
            if len(seen) == 1:
                write_line(heading)
            write_line(line)
        if check.status != "ok":
            for item in check.items:
                output.detail(item)
    well = all(check.status != "fail" for check in seen)
    if output.json:
        output.document({"ok": well, "checks": [check.as_json() for check in seen]})
    return well


def _line(output: Output, check: Check) -> str:
    status = painted(check.status.ljust(4), STYLES[check.status], output.color)
    fix = f" — {safe_text(check.fix)}" if check.fix and check.status != "ok" else ""
    return f"{status}  {check.id}: {safe_text(check.message)}{fix}"
