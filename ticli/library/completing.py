"""Words for a shell's Tab key, read with nothing but SQLite and at most a screenful or two."""

from __future__ import annotations

import sqlite3
from pathlib import Path

WAIT_SECONDS = 0.2
# Nobody reads more; whoever types on asks again.
MOST = 1000
CONCEPTS = "SELECT name AS word FROM concepts"
TAGS = (
    "SELECT DISTINCT value AS word FROM (SELECT DISTINCT tags FROM concepts), json_each(tags) "
    "WHERE typeof(value) = 'text'"
)
QUERIES = {"concepts": CONCEPTS, "tags": TAGS}


def completions(kind: str, start: str, database: Path) -> list[str]:
    """Names of "concepts" or "tags" in alphabetical order; nothing where anything is wrong.

    All of them, so that the shell may match as its user likes; of more than MOST those that begin
    with `start`, and of more than MOST of these the first and the very last, so that a shell which
    types what all have in common types nothing wrong.
    """
    if kind not in QUERIES:
        return []
    connection = None
    try:
        uri = f"{database.as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS)
        words = _read(connection, f"{QUERIES[kind]} ORDER BY word LIMIT ?", MOST + 1)
        return words if len(words) <= MOST else _beginning(connection, kind, start)
    except (sqlite3.Error, OSError, ValueError):
        return []
    finally:
        if connection is not None:
            connection.close()


def _beginning(connection: sqlite3.Connection, kind: str, start: str) -> list[str]:
    where = " WHERE word >= ? AND word < ?"
    # Names are ASCII in a column that ignores case, tags are any text.
    after = f"{start}{{" if kind == "concepts" else f"{start}\U0010ffff"
    statement = f"SELECT word FROM ({QUERIES[kind]}){where}"
    words = _read(connection, f"{statement} ORDER BY word LIMIT ?", start, after, MOST + 1)
    if len(words) <= MOST:
        return words
    last = _read(connection, f"{statement} ORDER BY word DESC LIMIT 1", start, after)
    return words[:MOST] + last


def _read(connection: sqlite3.Connection, statement: str, *values: str | int) -> list[str]:
    return [str(word) for (word,) in connection.execute(statement, values)]
