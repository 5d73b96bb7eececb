"""A concept written down in a file that may come from a stranger, checked field by field."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import Any

from ticli.concept import (
    Attempt,
    BaseModel,
    Concept,
    Curves,
    Embedding,
    Losses,
    Outcome,
    Parent,
    PhotoRecord,
    WordLoss,
    curves_from,
    outcome_from,
)
from ticli.errors import BadContent
from ticli.names import Token, parse_token
from ticli.plain_text import json_text

# What a set of vectors says of itself, and the plainest concept that holds it.

# The encoder whose token vectors have a width (formats differ in keys, never in widths). 256 is
# the starter's encoder, which stands in the place of clip_l.
ENCODERS: Mapping[int, str] = {
    256: "clip_l",
    768: "clip_l",
    1024: "clip_h",
    1280: "clip_g",
    2304: "gemma",
    4096: "t5",
}
UNKNOWN_BASE = BaseModel("", "", "", "")


# The vocabularies of CLIP have rows of norm about 0.4; no training that helps goes this far.
LARGEST_NORM = 100.0


def longest_vector(norms: Mapping[str, list[float]]) -> float | None:
    """The largest norm in a CLIP encoder, where it is larger than any word can use, else None."""
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
    """Refuse vectors that would spoil every picture: none, not finite, or unequal in number.

    Raises BadContent naming `word`.
    """
    import numpy as np

    counts = {encoder: rows.shape[0] for encoder, rows in embedding.rows.items()}
    if not counts or 0 in counts.values():
        raise BadContent(f"{word} has no vectors", "learn or fetch it again")
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{encoder} {count}" for encoder, count in counts.items())
        raise BadContent(f"{word} has unequal numbers of vectors: {said}", "fetch it again")
    for encoder, rows in embedding.rows.items():
        if not np.isfinite(rows).all():
            raise BadContent(
                f"{word} holds numbers that are not finite ({encoder})", "learn or fetch it again"
            )


def bare_concept(token: Token, embedding: Embedding, base: BaseModel = UNKNOWN_BASE) -> Concept:
    """A concept of which only word, vectors and base are known; the rest is empty."""
    return Concept(
        name=token.name,
        token=token.text,
        noun="",
        kind="object",
        init="",
        vectors=embedding.vectors,
        widths=embedding.widths,
        base=base,
        recipe={},
        seed=None,
        steps=0,
        losses=Losses(),
        norms=norms_of(embedding),
        photos=(),
        parents=(),
        tags=(),
        notes="",
        device="",
        versions={},
        seconds=0.0,
        created="",
        used="",
        path="",
        bytes=0,
        sha256="",
    )


DOCUMENT_TEXTS = ("noun", "kind", "init", "notes", "device", "created")
BASE = ("family", "id", "revision", "fingerprint")
LONGEST_NOUN = 64
HASH = re.compile(r"([0-9a-f]{64})?")


def parse_document(text: str) -> dict[str, Any]:
    """Read a JSON object that holds finite numbers only. Raises ValueError."""
    document = json.loads(text, parse_constant=_refuse_constant)
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document


def concept_from_document(document: Mapping[str, Any], embedding: Embedding) -> Concept:
    """Rebuild a concept from its written row; what the vectors say comes from them.

    Raises ValueError, KeyError, TypeError or ticli.errors.Usage where a field is not what it
    should be.
    """
    token = parse_token(_text(document["token"]))
    seed = document["seed"]
    texts = {name: _text(document[name]) for name in DOCUMENT_TEXTS}
    return Concept(
        **texts | {"noun": plain_noun(texts["noun"])},
        name=token.name,
        token=token.text,
        vectors=embedding.vectors,
        widths=embedding.widths,
        norms=norms_of(embedding),
        base=base_from_document(document["base"]),
        recipe=dict(_mapping(document["recipe"])),
        seed=None if seed is None else _whole(seed),
        steps=_whole(document["steps"]),
        losses=Losses(**{k: _number(v) for k, v in _mapping(document["losses"]).items()}),
        photos=tuple(
            PhotoRecord(_file_name(photo["file"]), _hash(photo["sha256"]))
            for photo in _items(document["photos"])
        ),
        parents=tuple(
            Parent(_text(parent["name"]), _number(parent["weight"]), _hash(parent["sha256"]))
            for parent in _items(document["parents"])
        ),
        tags=tuple(_text(tag) for tag in _items(document["tags"])),
        versions={k: _text(v) for k, v in _mapping(document["versions"]).items()},
        seconds=_number(document["seconds"]) or 0.0,
        # Files of version 0.1 say nothing of these.
        outcome=_outcome(_mapping(document.get("outcome", {}))),
        curves=_curves(_mapping(document.get("curves", {}))),
        warnings=tuple(_text(text) for text in _items(document.get("warnings", []))),
        # What a file says of its own quality is no measurement of this library's.
        scores=(),
        used="",
        path="",
        bytes=0,
        sha256="",
    )


def base_from_document(document: Any) -> BaseModel:
    """Read family, id, revision and fingerprint. Raises ValueError or KeyError."""
    return BaseModel(*(_text(_mapping(document)[part]) for part in BASE))


def plain_noun(text: str) -> str:
    """A noun that may stand in a prompt; anything else is none."""
    word = " ".join(text.split())
    allowed = word.isprintable() and len(word) <= LONGEST_NOUN and not set(word) & set("<>{}")
    return word if allowed else ""


def _outcome(document: Mapping[str, Any]) -> Outcome:
    if not document:
        return Outcome()
    return Outcome(
        stopped=_text(document["stopped"]),
        kept=_optional_whole(document["kept"]),
        held_out=_number(document["held_out"]),
        held_out_init=_number(document["held_out_init"]),
        drift=_number(document["drift"]),
        held_out_photo=_optional_whole(document["held_out_photo"]),
        skipped=_whole(document["skipped"]),
        restores=_whole(document["restores"]),
        attempts=tuple(
            Attempt(
                seed=_whole(attempt["seed"]),
                steps=_whole(attempt["steps"]),
                stopped=_text(attempt["stopped"]),
                kept=_optional_whole(attempt["kept"]),
                held_out=_number(attempt["held_out"]),
            )
            for attempt in _items(document["attempts"])
        ),
        init_words=tuple(
            WordLoss(_text(word["word"]), _known_number(word["held_out"]))
            for word in _items(document["init_words"])
        ),
        memory=tuple(_text(line) for line in _items(document.get("memory", []))),
    )


def _curves(document: Mapping[str, Any]) -> Curves:
    if not document:
        return Curves()
    return Curves(
        steps=tuple(_whole(step) for step in _items(document["steps"])),
        held_out=tuple(_known_number(loss) for loss in _items(document["held_out"])),
        drift=tuple(_known_number(drift) for drift in _items(document["drift"])),
    )


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not text")
    # Half a surrogate pair is legal JSON, and no file or database can hold it.
    value.encode()
    return value


def _hash(value: Any) -> str:
    """A hash becomes part of a path, so it is one, or nothing."""
    text = _text(value)
    if not HASH.fullmatch(text):
        raise ValueError("not a SHA-256")
    return text


def _file_name(value: Any) -> str:
    return _text(value).replace("\\", "/").rsplit("/", 1)[-1]


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a mapping")
    return value


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("not a whole number")
    return value


def _optional_whole(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _known_number(value: Any) -> float:
    number = _number(value)
    if number is None:
        raise ValueError("not a number")
    return number


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


# Rows of the library and the concepts they stand for.

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
BASE_FIELDS = ("family", "id", "revision", "fingerprint")
COLUMNS = (*PLAIN, *DOCUMENTS, *(f"base_{part}" for part in BASE_FIELDS))
SELECT = f"SELECT {', '.join(f'concepts.{column}' for column in COLUMNS)} FROM concepts"


def concept_from_row(row: Sequence[Any], blobs: Path) -> Concept:
    """Build a Concept from a row of SELECT; `blobs` is the folder its file lies in.

    Raises BadContent naming the concept where its row is damaged.
    """
    values = dict(zip(COLUMNS, row, strict=True))
    try:
        for column in DOCUMENTS:
            values[column] = json.loads(values[column])
        base = BaseModel(*(values.pop(f"base_{part}") for part in BASE_FIELDS))
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
    return row | {f"base_{part}": document["base"][part] for part in BASE_FIELDS}


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


# The JSON object of a row, put together from its columns without building what they stand for.

NUMBERS = ("vectors", "seed", "steps", "seconds", "bytes")
TEXT_COLUMNS = (
    *(key for key in PLAIN if key not in NUMBERS),
    *(f"base_{part}" for part in BASE_FIELDS),
)
LISTS = ("photos", "parents", "tags", "warnings", "scores")
WHOLE = ("vectors", "steps", "bytes")
# SQLite looks at them much faster than they are parsed; a row it does not like is looked at here.
VALID = " AND ".join(f"json_valid(concepts.{column})" for column in DOCUMENTS)
RECORDS: dict[str, Losses | Outcome | Curves] = {
    "losses": Losses(),
    "outcome": Outcome(),
    "curves": Curves(),
}
# What an empty object stands for in a column that is younger than its row.
EMPTY = {column: json_text(asdict(record)) for column, record in RECORDS.items()}
MARKS = {
    column: [f'"{part.name}": ' for part in fields(record)] for column, record in RECORDS.items()
}


def _shape() -> str:
    """The object with a %(column)s for every value, keys in the order of Concept."""
    base = ", ".join(f'"{part}": %(base_{part})s' for part in BASE_FIELDS)
    pairs = [
        f'"base": {{{base}}}' if key == "base" else f'"{key}": %({key})s'
        for key in (part.name for part in fields(Concept))
    ]
    return f"{{{', '.join(pairs)}}}"


SHAPE = _shape()


def document_text(row: Sequence[Any], valid: bool, blobs: Path) -> str:
    """Return the JSON object of a row of COLUMNS, as `Concept.as_json` has it, in ASCII.

    `valid` is what VALID says of the row. Raises BadContent where the row is damaged.
    """
    values = dict(zip(COLUMNS, row, strict=True))
    if not valid or not all(_is_plain(column, values) for column in DOCUMENTS):
        return json_text(concept_from_row(row, blobs).as_json())
    try:
        sha256 = values["sha256"]
        values["path"] = f"{blobs}/{sha256[:2]}/{sha256}.safetensors"
        for column in (*TEXT_COLUMNS, "path"):
            values[column] = quoted(values[column])
        for column in WHOLE:
            values[column] = int.__repr__(values[column])
        values["seed"] = "null" if values["seed"] is None else int.__repr__(values["seed"])
        seconds = values["seconds"]
        values["seconds"] = float.__repr__(seconds) if math.isfinite(seconds) else "null"
    except TypeError:
        return json_text(concept_from_row(row, blobs).as_json())
    return SHAPE % values


def _is_plain(column: str, values: dict[str, Any]) -> bool:
    """Whether the column's text can stand in the object as it is; "{}" is filled in."""
    text: str = values[column]
    if not text.startswith("[" if column in LISTS else "{"):
        return False
    if column in RECORDS:
        if text == "{}":
            values[column] = EMPTY[column]
            return True
        return text.isascii() and all(mark in text for mark in MARKS[column])
    return text.isascii()
