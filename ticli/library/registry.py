"""Rows of the library and the concepts they stand for."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ticli.concept import BaseModel, Concept, Losses, Parent, PhotoRecord
from ticli.errors import BadContent
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


def concept_from_row(row: Sequence[Any], blobs: Path) -> Concept:
    """Build a Concept from a row of SELECT; `blobs` is the folder its file lies in.

    Raises BadContent naming the concept where its row is damaged.
    """
    values = dict(zip(COLUMNS, row, strict=True))
    try:
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
    except (ValueError, TypeError, AttributeError) as error:
        raise damaged(row[0], error) from error
    return Concept(base=base, path=path, **values)


def damaged(name: object, error: Exception) -> BadContent:
    """What is said of a row that cannot be understood."""
    return BadContent(
        f"the row of {name!r} in the library is damaged: {error}",
        "other concepts are not affected: `ti doctor` looks at the whole library",
        name=str(name),
    )


def row_from_concept(concept: Concept) -> dict[str, Any]:
    """The columns of a concept, lists and mappings as JSON text."""
    document = concept.as_json()
    row = {column: document[column] for column in PLAIN}
    for column in DOCUMENTS:
        row[column] = json.dumps(document[column], sort_keys=True)
    return row | {f"base_{part}": document["base"][part] for part in BASE}


def select_one(connection: sqlite3.Connection, name: str, blobs: Path) -> Concept | None:
    """The concept of that name, if there is one."""
    row = connection.execute(f"{SELECT} WHERE name = ?", (name,)).fetchone()
    return concept_from_row(row, blobs) if row else None


def select_all(connection: sqlite3.Connection, blobs: Path) -> list[Concept]:
    """Every concept, in the order of rows. Raises BadContent where a row is damaged."""
    rows = connection.execute(f"{SELECT} ORDER BY id")
    return [concept_from_row(row, blobs) for row in rows.fetchall()]


def select_names(connection: sqlite3.Connection) -> list[str]:
    """Every name, in alphabetical order."""
    return [name for (name,) in connection.execute("SELECT name FROM concepts ORDER BY name")]


def is_referenced(connection: sqlite3.Connection, sha256: str) -> bool:
    """Whether any row has the file of that hash."""
    found = connection.execute("SELECT 1 FROM concepts WHERE sha256 = ? LIMIT 1", (sha256,))
    return found.fetchone() is not None


def used_photos(connection: sqlite3.Connection, hashes: Collection[str]) -> set[str]:
    """Those of these photos, given by their hashes, that some concept was learned from."""
    found = connection.execute(
        "SELECT DISTINCT json_extract(photo.value, '$.sha256') AS hash "
        "FROM concepts, json_each(concepts.photos) AS photo "
        "WHERE hash IN (SELECT value FROM json_each(?))",
        (json.dumps(list(hashes)),),
    )
    return {sha256 for (sha256,) in found}


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


def _writer(connection: sqlite3.Connection) -> Any:
    import sqlite_utils

    return sqlite_utils.Database(connection, execute_plugins=False)


def _words(concept: Concept) -> dict[str, str]:
    return {
        "name": concept.name,
        "token": concept.token,
        "tags": " ".join(concept.tags),
        "notes": concept.notes,
        "init": " ".join(dict.fromkeys((concept.init, concept.noun))),
        "photos": " ".join(photo.file for photo in concept.photos),
    }
