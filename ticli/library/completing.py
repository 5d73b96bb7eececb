"""Words for a shell's Tab key, read with nothing but SQLite and at most a screenful or two."""

from __future__ import annotations

import sqlite3
from pathlib import Path

WAIT_SECONDS = 0.2
# Nobody reads more; whoever types on asks again.
MOST = 1000
CONCEPTS = "SELECT name FROM concepts WHERE name >= :first AND name < :last ORDER BY name"
# One step of the index a tag, however many concepts have it.
TAGS = """
WITH RECURSIVE found(tag) AS (
    SELECT min(tag) FROM tagged WHERE tag >= :first
    UNION ALL SELECT (SELECT min(tag) FROM tagged WHERE tag > found.tag) FROM found
    WHERE found.tag IS NOT NULL
) SELECT tag FROM found WHERE tag < :last
"""
LAST = {
    "concepts": "SELECT max(name) FROM concepts WHERE name >= :first AND name < :last",
    "tags": "SELECT max(tag) FROM tagged WHERE tag >= :first AND tag < :last",
}
QUERIES = {"concepts": CONCEPTS, "tags": TAGS}
# Sorts after every text that begins with what stands before it.
END = "\U0010ffff"


def completions(kind: str, start: str, database: Path) -> list[str]:
    """Names of "concepts" or "tags" in alphabetical order; none if anything is wrong.

    Of more than MOST, those that begin with `start`; of more than MOST such, the first ones and
    the very last, so that a shell can type what all have in common.
    """
    if kind not in QUERIES:
        return []
    connection = None
    try:
        uri = f"{database.as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS)
        words = _read(connection, kind, "")
        if len(words) > MOST:
            words = _read(connection, kind, start)
        if len(words) > MOST:
            bounds = {"first": start, "last": start + END}
            words[MOST:] = [str(last) for (last,) in connection.execute(LAST[kind], bounds)]
        return words
    except (sqlite3.Error, OSError, ValueError):
        return []
    finally:
        if connection is not None:
            connection.close()


def _read(connection: sqlite3.Connection, kind: str, start: str) -> list[str]:
    bounds = {"first": start, "last": start + END, "most": MOST + 1}
    return [str(word) for (word,) in connection.execute(f"{QUERIES[kind]} LIMIT :most", bounds)]
