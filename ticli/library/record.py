"""Concepts as rows of the database and as JSON; what vectors say of themselves."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import Any, get_origin

from ticli.concept import (
    FACTS,
    FROM_FILE,
    TYPES,
    UNKNOWN_BASE,
    BaseModel,
    Concept,
    Embedding,
    checked_text,
    reader,
)
from ticli.errors import BadContent
from ticli.names import Token, parse_token
from ticli.plain_text import json_text

# The vocabularies of CLIP have rows of norm about 0.4; no training that helps goes this far.
LARGEST_NORM = 100.0


def longest_vector(norms: Mapping[str, list[float]]) -> float | None:
    """The largest norm in a CLIP encoder if it is too large to be of use, else None."""
    found = [max(values) for key, values in norms.items() if key.startswith("clip") and values]
    return max(found) if found and max(found) > LARGEST_NORM else None


def norms_of(embedding: Embedding) -> dict[str, list[float]]:
    """The L2 norm of every vector, by encoder."""
    import numpy as np

    return {
        encoder: [float(norm) for norm in np.linalg.norm(rows.astype(np.float64), axis=1)]
        for encoder, rows in embedding.rows.items()
    }


def same_vectors(left: Embedding, right: Embedding) -> bool:
    """Whether two embeddings hold the same numbers for the same encoders."""
    import numpy as np

    return left.rows.keys() == right.rows.keys() and all(
        np.array_equal(rows, right.rows[encoder]) for encoder, rows in left.rows.items()
    )


def check_vectors(embedding: Embedding, word: str) -> None:
    """Raise BadContent, naming `word`, for vectors that would spoil every picture."""
    import numpy as np

    counts = {encoder: rows.shape[0] for encoder, rows in embedding.rows.items()}
    if not counts or 0 in counts.values():
        raise BadContent(f"{word} has no vectors", "learn or fetch it again")
    if len(set(counts.values())) > 1:
        said = " and ".join(f"{count} for {encoder}" for encoder, count in counts.items())
        raise BadContent(
            f"{word} has unequal numbers of vectors, {said}: a concept of ti has as many vectors "
            "for each text encoder",
            "learn it with a number of vectors of its own; OneTrainer, for one, takes it from the "
            "length of a text, which encoders count differently",
        )
    for encoder, rows in embedding.rows.items():
        if not np.isfinite(rows).all():
            raise BadContent(
                f"{word} holds numbers that are not finite ({encoder})", "learn or fetch it again"
            )


def bare_concept(token: Token, embedding: Embedding, base: BaseModel = UNKNOWN_BASE) -> Concept:
    """A concept of which only token, vectors and base are known."""
    return Concept(
        token.name,
        token.text,
        vectors=embedding.vectors,
        widths=embedding.widths,
        base=base,
        norms=norms_of(embedding),
    )


def parse_document(text: str) -> dict[str, Any]:
    """Read a JSON object that holds finite numbers only. Raises ValueError."""
    document = json.loads(text, parse_constant=_refuse_constant)
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def concept_from_document(document: Mapping[str, Any], embedding: Embedding) -> Concept:
    """Rebuild a concept from its file's document and vectors.

    Raises ValueError, KeyError, TypeError or Usage for a field that is not what it should be.
    """
    known = {
        key: read(document[key])
        for key, read in FROM_FILE.items()
        if key in document or not FACTS[key].optional
    }
    token = parse_token(checked_text(document["token"]))
    return replace(bare_concept(token, embedding), **known)


STORED = {key: kind for key, kind in TYPES.items() if FACTS[key].source != "place"}
PLAIN = tuple(key for key, kind in STORED.items() if kind in (str, int, float, int | None))
BASE_FIELDS = tuple(f"base_{part.name}" for part in fields(BaseModel))
# The other fields are kept as JSON text.
DOCUMENTS = tuple(key for key in STORED if key not in PLAIN and key != "base")
COLUMNS = (*PLAIN, *DOCUMENTS, *BASE_FIELDS)
READERS = {key: reader(STORED[key], trusted=True) for key in DOCUMENTS}
SELECT = f"SELECT {', '.join(f'concepts.{column}' for column in COLUMNS)} FROM concepts"


def concept_from_row(row: Sequence[Any], blobs: Path) -> Concept:
    """Build a Concept from a row of SELECT; `blobs` is the folder its file lies in.

    Raises BadContent if the row is damaged.
    """
    values = dict(zip(COLUMNS, row, strict=True))
    try:
        for column, read in READERS.items():
            values[column] = read(json.loads(values[column]))
        base = BaseModel(*(values.pop(column) for column in BASE_FIELDS))
        path = str(blobs / values["sha256"][:2] / f"{values['sha256']}.safetensors")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(row[0], error) from error
    return Concept(base=base, path=path, **values)


def damaged(name: object, error: Exception) -> BadContent:
    """The error for a row that cannot be read."""
    return BadContent(
        f"the row of {name!r} in the library is damaged: {error}",
        "other concepts are not affected: `ti doctor` looks at the whole library",
        name=str(name),
    )


def row_from_concept(concept: Concept) -> dict[str, Any]:
    """The columns of a concept; lists and mappings become JSON text."""
    document = concept.as_json()
    row = {column: document[column] for column in PLAIN}
    for column in DOCUMENTS:
        row[column] = json.dumps(document[column], sort_keys=True)
    return row | dict(zip(BASE_FIELDS, document["base"].values(), strict=True))


def select_one(connection: sqlite3.Connection, name: str, blobs: Path) -> Concept | None:
    """The concept of that name, if there is one."""
    row = connection.execute(f"{SELECT} WHERE name = ?", (name,)).fetchone()
    return concept_from_row(row, blobs) if row else None


def select_all(connection: sqlite3.Connection, blobs: Path) -> list[Concept]:
    """Every concept, in the order of rows. Raises BadContent if a row is damaged."""
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
    """Those of these hashes that are photos of some concept."""
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
    """Replace the row called `name`; it keeps its place in the order."""
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
    """Record when concepts were last used; unknown names are ignored."""
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
        "notes": " ".join((concept.notes, *concept.about.values())).strip(),
        "init": " ".join(dict.fromkeys((concept.init, concept.noun))),
        "photos": " ".join(photo.file for photo in concept.photos),
    }


# `ti list --json` joins a row's columns, which is far faster than building the Concept. SQLite
# checks JSON much faster than Python parses it; rows that it refuses take the slow path.
VALID = " AND ".join(f"json_valid(concepts.{column})" for column in DOCUMENTS)
LISTS = tuple(key for key in DOCUMENTS if get_origin(STORED[key]) is tuple)
RECORDS = {key: STORED[key]() for key in DOCUMENTS if is_dataclass(STORED[key])}
# What {} stands for: the column is newer than its row.
EMPTY = {column: json_text(asdict(record)) for column, record in RECORDS.items()}
MARKS = {
    column: [f'"{part.name}": ' for part in fields(record)] for column, record in RECORDS.items()
}


# How each plain column is written in JSON.
WRITERS: dict[str, Callable[[Any], str]] = dict.fromkeys((*BASE_FIELDS, "path"), quoted) | {
    key: {
        str: quoted,
        int: int.__repr__,
        float: lambda value: float.__repr__(value) if math.isfinite(value) else "null",
        int | None: lambda value: "null" if value is None else int.__repr__(value),
    }[STORED[key]]
    for key in PLAIN
}
# The object with a %(column)s for every value, keys in the order of Concept.
BASE_SHAPE = ", ".join(f'"{column.removeprefix("base_")}": %({column})s' for column in BASE_FIELDS)
SHAPE = ", ".join(
    f'"{key}": {{{BASE_SHAPE}}}' if key == "base" else f'"{key}": %({key})s' for key in TYPES
)


def document_text(row: Sequence[Any], valid: bool, blobs: Path) -> str:
    """Return the JSON object of a row of COLUMNS, as `Concept.as_json` has it, in ASCII.

    `valid` is what VALID says of the row. Raises BadContent if the row is damaged.
    """
    values = dict(zip(COLUMNS, row, strict=True))
    if valid and all(_is_plain(column, values) for column in DOCUMENTS):
        with contextlib.suppress(TypeError):
            values["path"] = f"{blobs}/{values['sha256'][:2]}/{values['sha256']}.safetensors"
            for column, write in WRITERS.items():
                values[column] = write(values[column])
            return f"{{{SHAPE % values}}}"
    return json_text(concept_from_row(row, blobs).as_json())


def _is_plain(column: str, values: dict[str, Any]) -> bool:
    """Whether the column's text can go into the object as it is; "{}" is filled in."""
    text: str = values[column]
    if not text.startswith("[" if column in LISTS else "{"):
        return False
    if column in RECORDS:
        if text == "{}":
            values[column] = EMPTY[column]
            return True
        return text.isascii() and all(mark in text for mark in MARKS[column])
    return text.isascii()
