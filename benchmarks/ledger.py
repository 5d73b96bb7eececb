"""Finished work as JSON lines: what is in the ledger need not be done again."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Ledger:
    """Rows by kind and id; of two with the same, the later one counts.

    Several processes may append to one ledger; each sees what was there when it opened it.
    A line cut short by a crash is dropped when the ledger is opened: its work was not finished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}
        whole = b""
        if path.exists():
            # Nobody appends while it is looked at: half a row would be taken for a cut one.
            with path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                data = file.read()
                whole = data[: data.rfind(b"\n") + 1]
                file.truncate(len(whole))
        for line in whole.splitlines():
            row = json.loads(line)
            self._rows[row["kind"], row["id"]] = row

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """The row of that kind and id, if it was written."""
        return self._rows.get((kind, key))

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """All rows of a kind, oldest first."""
        return [row for (found, _), row in self._rows.items() if found == kind]

    def add(self, kind: str, key: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Append one row in a single write and sync it."""
        row = {"kind": kind, "id": key, **values}
        line = json.dumps(row).encode() + b"\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor = os.open(self.path, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.write(descriptor, line) != len(line):
                raise OSError(f"{self.path}: the row was written in part")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._rows[kind, key] = row
        return row
