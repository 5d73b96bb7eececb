"""What `ti doctor` found, one line a check as it is made, or as one document."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from ticli.checkup import Check
from ticli.terminal.output import Output, is_terminal, painted, write_line
from ticli.terminal.safe_text import safe_text
from ticli.terminal.tables import Column, tab_separated

COLUMNS = (Column("STATUS"), Column("CHECK"), Column("MESSAGE"), Column("FIX"))
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
            heading, line = tab_separated(COLUMNS, [row])
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
