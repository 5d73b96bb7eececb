"""Storing words, all or none: what is in the way is found first, then files, then rows."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ticli.concept import Concept, Embedding
from ticli.errors import BadContent, Conflict
from ticli.library import registry, store
from ticli.library.describe import check_vectors, norms_of, same_vectors
from ticli.names import parse_token

# What may differ between two additions of the same thing.
INCIDENTAL = ("created", "used", "path", "bytes", "sha256", "tags", "notes", "seconds", "scores")

Word = tuple[Concept, Embedding]


def described(concept: Concept, embedding: Embedding) -> Concept:
    """The concept with what its token and vectors say of it. Raises BadContent and Usage."""
    token = parse_token(concept.token)
    check_vectors(embedding, token.text)
    return replace(
        concept,
        name=token.name,
        token=token.text,
        vectors=embedding.vectors,
        widths=embedding.widths,
        norms=norms_of(embedding),
        created=concept.created or now(),
    )


def find_taken(
    connection: sqlite3.Connection, blobs: Path, words: Sequence[Word], replacing: bool
) -> list[Concept | None]:
    """What stands in the place of each word. Raises Conflict where that is another one."""
    names = [concept.name for concept, _ in words]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise Conflict(f"{twice[0]!r} is given twice", "give each word a name of its own")
    taken = [registry.select_one(connection, name, blobs) for name in names]
    for old, (wanted, embedding) in zip(taken, words, strict=True):
        if old is not None and not replacing and not _is_same(old, wanted, embedding):
            raise Conflict(
                f"{old.name!r} is in the library already",
                "give --replace, or another --token",
                name=old.name,
            )
    return taken


def now() -> str:
    """This moment in ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _is_same(old: Concept, wanted: Concept, embedding: Embedding) -> bool:
    """Whether an addition repeats what is there; a broken file is not the same."""
    if replace(wanted, **{key: getattr(old, key) for key in INCIDENTAL}) != old:
        return False
    try:
        return same_vectors(store.load_blob(old), embedding)
    except BadContent:
        return False
