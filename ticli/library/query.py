"""Find and list concepts: which ones, in what order, and how much of each is read."""

from __future__ import annotations

import fnmatch
import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ticli.concept import Concept
from ticli.errors import Usage
from ticli.library.record import COLUMNS, VALID, concept_from_row, damaged, document_text
from ticli.names import did_you_mean, lookup_name, without_accents

MOST_WORDS = 1000
WORD = re.compile(r"[^\W_]+")
# How much a word counts by where it stands: name, token, tags, notes, init and noun, photo names.
WEIGHTS = "10, 10, 5, 2, 2, 1"
JOINED = "concepts JOIN words ON words.rowid = concepts.id"
BESIDE = """concepts.id IN (
    SELECT rowid FROM words WHERE holds(name || ' ' || tags || ' ' || notes || ' ' || init
        || ' ' || replace(replace(name, '-', ''), '_', ''))
)"""


class Folding(dict[int, str]):
    """Each letter without case and accents, worked out when it is first met."""

    def __missing__(self, letter: int) -> str:
        self[letter] = without_accents(chr(letter))
        return self[letter]


@dataclass(frozen=True)
class WordSearch:
    """The parts of the SQL statement that finds words."""

    condition: str
    tables: str = "concepts"
    order: str = "concepts.name"
    values: dict[str, Any] = field(default_factory=dict)


def find(connection: sqlite3.Connection, text: str) -> WordSearch:
    """Return the SQL for concepts that have every word of `text`, or a word that begins with it.

    Case, accents and punctuation do not matter. If no concept has such words, the same letters
    anywhere in its texts count too. The concept named `text` comes first. Raises Usage for too many
    words.
    """
    terms = list(dict.fromkeys(text.replace("\0", " ").split()))
    if (count := sum(len(WORD.findall(term)) for term in terms)) > MOST_WORDS:
        raise Usage(f"{count:,} words to search for", f"give at most {MOST_WORDS:,}")
    spoken = [term for term in terms if WORD.search(term)]
    if spoken:
        match = " AND ".join(f'"{term.replace(chr(34), chr(34) * 2)}"*' for term in spoken)
        held = connection.execute("SELECT 1 FROM words WHERE words MATCH ? LIMIT 1", (match,))
        if held.fetchone():
            return WordSearch(
                "words MATCH :match",
                JOINED,
                f"concepts.name = :exact DESC, bm25(words, {WEIGHTS}), concepts.id",
                {"match": match, "exact": lookup_name(text.strip())},
            )
    folding = Folding()
    parts = [part for term in spoken or terms if (part := folded(term, folding))]
    if not parts:
        return WordSearch("0")

    def holds(words: str) -> bool:
        text = folded(words, folding)
        return all(part in text for part in parts)

    connection.create_function("holds", 1, holds, deterministic=True)
    return WordSearch(
        BESIDE, order="instr(concepts.name, :part) = 0, concepts.name", values={"part": parts[0]}
    )


def folded(text: str, folding: Folding) -> str:
    """Return text without case and accents, for comparing."""
    return text.lower() if text.isascii() else text.translate(folding)


# "created" sorts by row number, since clocks jump.
ORDERS = {
    "name": "concepts.name {0}",
    "created": "concepts.id {0}",
    "used": "concepts.used {0}, concepts.id",
    "size": "concepts.bytes {0}, concepts.id",
}
# The largest number that SQLite knows.
MOST_ROWS = 2**63 - 1
# The letters before a pattern's first wildcard are looked up in the index of names.
LITERAL = re.compile(r"<?([a-z0-9_-]+)")
# `{` comes after `z`, so after every name that starts alike.
AFTER_LETTERS = "{"
TAGGED = "concepts.id IN (SELECT concept FROM tagged WHERE tag = ?)"
OF_BASE = """(
    ?1 IN (lower(concepts.base_family), lower(concepts.base_id))
    OR substr(lower(concepts.base_id), -length(?1) - 1) = '/' || ?1
)"""


@dataclass(frozen=True)
class Query:
    """Which concepts to list, and in which order.

    `pattern` is a shell pattern for name or token. A concept must have all `tags`. `base` is a
    family, a model's id or the last part of one; `since` is an ISO 8601 time; `words` are searched
    for unless None. `sort` is name, created, used or size, with `:desc` to reverse it; "" puts the
    best match first, or sorts by name.
    """

    pattern: str = ""
    tags: tuple[str, ...] = ()
    base: str = ""
    kind: str = ""
    since: str = ""
    words: str | None = None
    sort: str = ""
    limit: int | None = None


class ListedConcept(NamedTuple):
    """One line of a list. A tuple, since there may be a hundred thousand."""

    name: str
    token: str
    family: str
    base: str
    revision: str
    vectors: int
    steps: int
    tags: tuple[str, ...]
    created: str


ENTRY = (
    *("name", "token", "base_family", "base_id", "base_revision"),
    *("vectors", "steps", "tags", "created"),
)


def check_query(query: Query) -> str:
    """Return the ORDER BY of a query. Raises Usage for a sort or limit that does not exist."""
    if query.limit is not None and query.limit < 0:
        raise Usage(f"--limit must be at least 0, not {query.limit}")
    if not query.sort:
        return ""
    key, _, direction = query.sort.partition(":")
    if key not in ORDERS or direction not in ("", "asc", "desc"):
        choices = f"use {', '.join(ORDERS)}, and :desc for the other way"
        raise Usage(f"cannot sort by {query.sort!r}", did_you_mean(key, ORDERS, choices))
    return ORDERS[key].format("DESC" if direction == "desc" else "ASC")


def query_names(connection: sqlite3.Connection, query: Query, blobs: Path) -> list[str]:
    """The names a query asks for. Raises Usage."""
    return [name for (name,) in _rows(connection, ("name",), query)]


def query_entries(connection: sqlite3.Connection, query: Query, blobs: Path) -> list[ListedConcept]:
    """The lines of a list of concepts. Raises Usage and BadContent."""
    entries = []
    for *values, tags, created in _rows(connection, ENTRY, query):
        try:
            words = () if tags == "[]" else tuple(map(str, json.loads(tags)))
        except (ValueError, TypeError) as error:
            raise damaged(values[0], error) from error
        entries.append(ListedConcept._make((*values, words, created)))
    return entries


def query_documents(connection: sqlite3.Connection, query: Query, blobs: Path) -> list[str]:
    """The JSON object of each concept, as text. Raises Usage and BadContent.

    All are read before the first is printed: a slow reader, such as a pager, must not keep others
    from writing.
    """
    rows = _rows(connection, COLUMNS, query, (VALID,))
    return [document_text(row[:-1], bool(row[-1]), blobs) for row in rows]


def query_concepts(connection: sqlite3.Connection, query: Query, blobs: Path) -> list[Concept]:
    """The concepts a query asks for, whole. Raises Usage and BadContent."""
    return [concept_from_row(row, blobs) for row in _rows(connection, COLUMNS, query)]


def _rows(
    connection: sqlite3.Connection,
    columns: Sequence[str],
    query: Query,
    computed: Sequence[str] = (),
) -> sqlite3.Cursor:
    order = check_query(query)
    conditions, values = _conditions(connection, query)
    tables, best = "concepts", "concepts.name"
    if query.words is not None:
        found = find(connection, query.words)
        tables = found.tables
        conditions.append(found.condition)
        values |= found.values
        best = found.order
    wanted = ", ".join((*(f"concepts.{column}" for column in columns), *computed))
    return connection.execute(
        f"SELECT {wanted} FROM {tables} WHERE {' AND '.join(conditions)} "
        f"ORDER BY {order or best} LIMIT :limit",
        values | {"limit": MOST_ROWS if query.limit is None else min(query.limit, MOST_ROWS)},
    )


def _conditions(connection: sqlite3.Connection, query: Query) -> tuple[list[str], dict[str, Any]]:
    """The conditions of a query, apart from its words, and their values."""
    conditions, values = ["1"], dict[str, Any]()
    if query.pattern:
        pattern = query.pattern.lower()
        # Raises for bytes that are not text, as for any argument.
        pattern.encode()
        fits = re.compile(fnmatch.translate(pattern)).match
        connection.create_function(
            "fits", 1, lambda name: bool(fits(name) or fits(f"<{name}>")), deterministic=True
        )
        conditions.append("fits(concepts.name)")
        if literal := LITERAL.match(pattern):
            conditions.append("concepts.name BETWEEN :first AND :last")
            values |= {"first": literal[1], "last": literal[1] + AFTER_LETTERS}
    for number, tag in enumerate(query.tags):
        conditions.append(TAGGED.replace("?", f":tag{number}"))
        values[f"tag{number}"] = tag
    if query.base:
        conditions.append(OF_BASE.replace("?1", ":base"))
        values["base"] = query.base.lower()
    if query.kind:
        conditions.append("lower(concepts.kind) = :kind")
        values["kind"] = query.kind.lower()
    if query.since:
        conditions.append("datetime(concepts.created) >= datetime(:since)")
        values["since"] = query.since
    return conditions, values
