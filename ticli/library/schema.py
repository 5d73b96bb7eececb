"""The library's tables, step by numbered step: a new library takes all, an older one the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import sqlite_utils

Migration: TypeAlias = "Callable[[sqlite_utils.Database], None]"


def create_concepts(db: sqlite_utils.Database) -> None:
    """Schema 1: concepts, and the words they are found by."""
    db.execute(
        """
        CREATE TABLE concepts (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL UNIQUE COLLATE NOCASE,
            token TEXT NOT NULL,
            noun TEXT NOT NULL,
            kind TEXT NOT NULL,
            init TEXT NOT NULL,
            vectors INTEGER NOT NULL,
            widths TEXT NOT NULL,
            base_family TEXT NOT NULL,
            base_id TEXT NOT NULL,
            base_revision TEXT NOT NULL,
            base_fingerprint TEXT NOT NULL,
            recipe TEXT NOT NULL,
            seed INTEGER,
            steps INTEGER NOT NULL,
            losses TEXT NOT NULL,
            norms TEXT NOT NULL,
            photos TEXT NOT NULL,
            parents TEXT NOT NULL,
            tags TEXT NOT NULL,
            notes TEXT NOT NULL,
            device TEXT NOT NULL,
            versions TEXT NOT NULL,
            seconds REAL NOT NULL,
            created TEXT NOT NULL,
            used TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            sha256 TEXT NOT NULL
        )
        """
    )
    db["concepts"].create_index(["sha256"])
    db.execute(
        "CREATE VIRTUAL TABLE words USING fts5(name, token, tags, notes, init, photos, "
        "tokenize='unicode61 remove_diacritics 2')"
    )


def add_outcomes(db: sqlite_utils.Database) -> None:
    """Schema 2: how the run that learned a concept ended."""
    for column, nothing in (("outcome", "{}"), ("curves", "{}"), ("warnings", "[]")):
        db.execute(f"ALTER TABLE concepts ADD COLUMN {column} TEXT NOT NULL DEFAULT '{nothing}'")


def add_scores(db: sqlite_utils.Database) -> None:
    """Schema 3: what a concept scored, one report a protocol."""
    db.execute("ALTER TABLE concepts ADD COLUMN scores TEXT NOT NULL DEFAULT '[]'")


def index_tags(db: sqlite_utils.Database) -> None:
    """Schema 4: tags have a table of their own, and nouns are searched for too."""
    db.execute(
        "CREATE TABLE tagged (tag TEXT NOT NULL, concept INTEGER NOT NULL, "
        "PRIMARY KEY (tag, concept)) WITHOUT ROWID"
    )
    db["tagged"].create_index(["concept"])
    # The rows' lists stay what is true; triggers keep the table to them.
    named = "SELECT value, {0}.id FROM json_each({0}.tags) WHERE typeof(value) = 'text'"
    add = f"INSERT OR IGNORE INTO tagged {named.format('new')};"
    drop = "DELETE FROM tagged WHERE concept = old.id;"
    for event, actions in (("INSERT", add), ("UPDATE OF tags", drop + add), ("DELETE", drop)):
        name = event.split()[0].lower()
        db.execute(f"CREATE TRIGGER tagged_{name} AFTER {event} ON concepts BEGIN {actions} END")
    db.execute(
        "INSERT OR IGNORE INTO tagged SELECT value, concepts.id FROM concepts, json_each(tags) "
        "WHERE typeof(value) = 'text'"
    )
    db.execute(
        "UPDATE words SET init = init || ' ' || (SELECT noun FROM concepts WHERE id = words.rowid) "
        "WHERE rowid IN (SELECT id FROM concepts WHERE noun NOT IN ('', init))"
    )


MIGRATIONS: tuple[Migration, ...] = (create_concepts, add_outcomes, add_scores, index_tags)
