"""Models as a table, and one model in full."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ticli.errors import Check, counted
from ticli.terminal.output import (
    Output,
    columns,
    is_terminal,
    painted,
    say,
    tab_separated,
    write_line,
)
from ticli.terminal.safe_text import byte_text, safe_text

if TYPE_CHECKING:
    from ticli.models.download import Parcel


COLUMNS = columns("MODEL", "NAME", "FAMILY", "REVISION", ">PIXELS", ">SIZE", "LICENSE", "CURRENT")
CHECK_COLUMNS = columns("STATUS", "CHECK", "MESSAGE", "FIX")
STYLES = {"ok": "32", "warn": "33", "fail": "1;31"}


def table_of_models(output: Output, models: Sequence[Mapping[str, Any]]) -> None:
    """Write models as JSON or as a table."""
    if output.json:
        output.document(list(models))
        return
    rows = []
    for model in models:
        if model["problem"]:
            size = "unusable" if model["here"] else "not here"
        else:
            size = byte_text(model["bytes"])
        rows.append(
            (
                model["id"],
                ", ".join(model["names"]),
                model["family"],
                model["revision"][:8],
                str(model["size"] or ""),
                size,
                model["license"],
                "*" if model["current"] else "",
            )
        )
    output.table(COLUMNS, rows)


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
    sampler, steps, guidance = (model["defaults"][k] for k in ("sampler", "steps", "guidance"))
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
            ("defaults", f"{sampler}, {steps} steps, guidance {guidance:g}"),
            ("fingerprint", model["fingerprint"]),
            *(("note", note) for note in model["notes"]),
        ]
    )


def announcer(output: Output) -> Callable[[Parcel], None]:
    """Say what is downloaded and where it goes, --quiet or not; bars follow on a terminal only."""

    def announce(parcel: Parcel) -> None:
        from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

        shown = not output.quiet and not output.json and is_terminal(sys.stderr)
        (enable_progress_bars if shown else disable_progress_bars)()
        files, size = counted(len(parcel.files), "file"), byte_text(parcel.bytes)
        say(safe_text(f"downloading {parcel.id}: {files}, {size}, into {parcel.cache}"))

    return announce


def show_checks(output: Output, checks: Iterable[Check]) -> bool:
    """Show checks as they come; return whether none of them failed.

    With --quiet only what is not well is named.
    """
    seen = []
    for check in checks:
        seen.append(check)
        if output.json:
            continue
        row = (check.status, check.id, check.message, check.fix)
        heading, line = tab_separated(CHECK_COLUMNS, [row])
        if output.quiet:
            output.lines([check.id] if check.status != "ok" else [])
        elif is_terminal(sys.stdout):
            status = painted(check.status.ljust(4), STYLES[check.status], output.color)
            fix = f" — {safe_text(check.fix)}" if check.fix and check.status != "ok" else ""
            write_line(f"{status}  {check.id}: {safe_text(check.message)}{fix}")
        else:
            write_line(f"{heading}\n{line}" if len(seen) == 1 else line)
        if check.status != "ok":
            for item in check.items:
                output.detail(item)
    well = all(check.status != "fail" for check in seen)
    if output.json:
        output.document({"ok": well, "checks": [check.as_json() for check in seen]})
    return well
