"""Rows of the library and the concepts they stand for."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticli.concept import BaseModel, Concept, Losses, Parent, PhotoRecord
from ticli.errors import Usage
from ticli.outcome import curves_from, outcome_from

PLAIN = (
    "name",
    "token",
    "noun",
    "kind",
    "init",
    "vectors",
    "seed",
    "steps",
    "notes",
    "device",
    "seconds",
    "created",
    "used",
    "bytes",
    "sha256",
)
DOCUMENTS = (
    *("widths", "recipe", "losses", "norms", "photos", "parents", "tags", "versions"),
    *("outcome", "curves", "warnings", "scores"),
)
BASE = ("family", "id", "revision", "fingerprint")
COLUMNS = (*PLAIN, *DOCUMENTS, *(f"base_{part}" for part in BASE))
SELECT = f"SELECT {', '.join(f'concepts.{column}' for column in COLUMNS)} FROM concepts"
# The order of rows, not the clock, says what came first: clocks jump.
ORDERS = {"name": "name", "created": "id", "used": "used {0}, id", "size": "bytes {0}, id"}
COMPLETION_SECONDS = 0.2


@dataclass(frozen=True)
class Query:
    """Which concepts to list, and in which order.

    `pattern` is a shell pattern over name and token; `base` a family or a model's id; `sort` is
    name, created, used or size, with `:desc` for the other way round; `limit` None is no limit.
    """

    pattern: str = ""
    tag: str = ""
    base: str = ""
    sort: str = "name"
    limit: int | None = None


def concept_from_row(row: Sequence[Any], blobs: Path) -> Concept:
    """Build a Concept from a row of SELECT; `blobs` is the folder its file lies in."""
    values = dict(zip(COLUMNS, row, strict=True))
    for column in DOCUMENTS:
        values[column] = json.loads(values[column])
    base = BaseModel(*(values.pop(f"base_{part}") for part in BASE))
    values["losses"] = Losses(**values["losses"])
    values["photos"] = tuple(PhotoRecord(**photo) for photo in values["photos"])
    values["parents"] = tuple(Parent(**parent) for parent in values["parents"])
    values["tags"] = tuple(values["tags"])
    values["outcome"] = outcome_from(values["outcome"])
    values["curves"] = curves_from(values["curves"])
    values["warnings"] = tuple(values["warnings"])
    values["scores"] = tuple(values["scores"])
    sha256 = values["sha256"]
    path = str(blobs / sha256[:2] / f"{sha256}.safetensors")
    return Concept(base=base, path=path, **values)


def row_from_concept(concept: Concept) -> dict[str, Any]:
    """The columns of a concept, lists and mappings as JSON text."""
    document = concept.as_json()
    row = {column: document[column] for column in PLAIN}
    for column in DOCUMENTS:
        row[column] = json.dumps(document[column], sort_keys=True)
    return row | {f"base_{part}": document["base"][part] for part in BASE}


def select(connection: sqlite3.Connection, query: Query, blobs: Path) -> list[Concept]:
    """The concepts a query asks for. Raises Usage for a sort or limit that does not exist."""
    order = check_query(query)
    connection.create_function("like_shell", 2, fnmatch.fnmatchcase, deterministic=True)
    conditions, values = ["1"], []
    if query.pattern:
        conditions.append("(like_shell(name, ?) OR like_shell(lower(token), ?))")
        values += [query.pattern.lower()] * 2
    if query.tag:
        conditions.append("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)")
        values.append(query.tag)
    if query.base:
        conditions.append("? IN (lower(base_family), lower(base_id))")
        values.append(query.base.lower())
    sql = f"{SELECT} WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?"
    rows = connection.execute(sql, (*values, -1 if query.limit is None else query.limit))
    return [concept_from_row(row, blobs) for row in rows.fetchall()]


def check_query(query: Query) -> str:
    """Return the ORDER BY of a query. Raises Usage for a sort or limit that does not exist."""
    if query.limit is not None and query.limit < 0:
        raise Usage(f"--limit must be at least 0, not {query.limit}")
    return _order(query.sort)


def search(connection: sqlite3.Connection, text: str, blobs: Path) -> list[Concept]:
    """Concepts that hold every word of `text`, or a longer word that starts so; best first.

    Looks in name, token, tags, notes, init and photo file names. Signs have no meaning.
    """
    terms = ['"' + term.replace('"', '""') + '"*' for term in text.replace("\0", " ").split()]
    if not terms:
        return []
    rows = connection.execute(
        f"{SELECT} JOIN words ON words.rowid = concepts.id WHERE words MATCH ? "
        "ORDER BY bm25(words, 10, 10, 5, 2, 2, 1), concepts.id",
        (" AND ".join(terms),),
    )
    return [concept_from_row(row, blobs) for row in rows.fetchall()]


def select_one(connection: sqlite3.Connection, name: str, blobs: Path) -> Concept | None:
    """The concept of that name, if there is one."""
    row = connection.execute(f"{SELECT} WHERE name = ?", (name,)).fetchone()
    return concept_from_row(row, blobs) if row else None


def select_names(connection: sqlite3.Connection) -> list[str]:
    """Every name, in alphabetical order."""
    return [name for (name,) in connection.execute("SELECT name FROM concepts ORDER BY name")]


def is_referenced(connection: sqlite3.Connection, sha256: str) -> bool:
    """Whether any row has the file of that hash."""
    found = connection.execute("SELECT 1 FROM concepts WHERE sha256 = ? LIMIT 1", (sha256,))
    return found.fetchone() is not None


def has_photo(connection: sqlite3.Connection, sha256: str) -> bool:
    """Whether any concept was learned from the photo of that hash."""
    found = connection.execute(
        "SELECT 1 FROM concepts, json_each(concepts.photos) "
        "WHERE json_extract(value, '$.sha256') = ? LIMIT 1",
        (sha256,),
    )
    return found.fetchone() is not None


@contextlib.contextmanager
def change(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction, holding the write lock from its start so that what it reads stays true."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def insert(connection: sqlite3.Connection, concept: Concept) -> None:
    """Add a row and its searchable words, in the transaction that is open."""
    db = _writer(connection)
    number = db["concepts"].insert(row_from_concept(concept)).last_rowid
    db["words"].insert({"rowid": number, **_words(concept)})


def update(connection: sqlite3.Connection, name: str, concept: Concept) -> None:
    """Change the row called `name` into `concept`, which keeps its place in the order."""
    db = _writer(connection)
    number = connection.execute("SELECT id FROM concepts WHERE name = ?", (name,)).fetchone()[0]
    db["concepts"].update(number, row_from_concept(concept))
    connection.execute("DELETE FROM words WHERE rowid = ?", (number,))
    db["words"].insert({"rowid": number, **_words(concept)})


def delete(connection: sqlite3.Connection, name: str) -> None:
    """Remove a row and its words, in the transaction that is open."""
    connection.execute(
        "DELETE FROM words WHERE rowid = (SELECT id FROM concepts WHERE name = ?)", (name,)
    )
    connection.execute("DELETE FROM concepts WHERE name = ?", (name,))


def mark_used(connection: sqlite3.Connection, names: Sequence[str], moment: str) -> None:
    """Record when concepts were last used; names that are gone are passed over."""
    connection.executemany(
        "UPDATE concepts SET used = ? WHERE name = ?", [(moment, name) for name in names]
    )


def completions(kind: str, database: Path) -> list[str]:
    """Names of "concepts" or "tags" for a shell's Tab key; nothing where anything is wrong."""
    queries = {
        "concepts": "SELECT name FROM concepts ORDER BY name",
        "tags": "SELECT DISTINCT value FROM concepts, json_each(tags) ORDER BY value",
    }
    if kind not in queries:
        return []
    connection = None
    try:
        uri = f"{database.as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=COMPLETION_SECONDS)
        return [str(value) for (value,) in connection.execute(queries[kind]).fetchall()]
    except (sqlite3.Error, OSError, ValueError):
        return []
    finally:
        if connection is not None:
            connection.close()


def _writer(connection: sqlite3.Connection) -> Any:
    import sqlite_utils

    return sqlite_utils.Database(connection, execute_plugins=False)


def _words(concept: Concept) -> dict[str, str]:
    return {
        "name": concept.name,
        "token": concept.token,
        "tags": " ".join(concept.tags),
        "notes": concept.notes,
        "init": concept.init,
        "photos": " ".join(photo.file for photo in concept.photos),
    }


def _order(sort: str) -> str:
    key, _, direction = sort.partition(":")
    if key not in ORDERS or direction not in ("", "asc", "desc"):
        raise Usage(
            f"cannot sort by {sort!r}", f"use {', '.join(ORDERS)}, and :desc for the other way"
        )
    order = ORDERS[key]
    descending = "DESC" if direction == "desc" else "ASC"
    return order.format(descending) if "{0}" in order else f"{order} {descending}"
