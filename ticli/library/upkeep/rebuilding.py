"""Rebuild a lost or damaged database from the files of the concepts."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ticli.concept import TYPES, Concept, reader
from ticli.durable import explain, sync_folder
from ticli.errors import BadContent, NotFound
from ticli.library import record
from ticli.library.database import build_database, change, explained, free_name, locked
from ticli.library.store import read_blob, stored_blobs
from ticli.library.upkeep.checking import is_ours, is_whole, later_values
from ticli.paths import Places


@dataclass(frozen=True)
class Rebuilt:
    """The result of a rebuild; `needed` is False if the database was whole and stayed.

    `kept_later` counts the concepts whose tags, notes and last use could be read from the old
    database. `unreadable` files hold no concept. `left_out` files are of removed concepts, or of
    concepts whose name a newer one has. `put_aside` is where the old database is now.
    """

    needed: bool
    names: tuple[str, ...] = ()
    kept_later: int = 0
    unreadable: tuple[Path, ...] = ()
    left_out: tuple[Path, ...] = ()
    put_aside: Path | None = None


def rebuild(places: Places) -> Rebuilt:
    """Replace a lost or damaged database by a new one.

    The old one is moved aside, never removed. If the process is killed, the rebuild can be run
    again. Raises NotFound (no library), Conflict (made by a newer `ti`, busy), NoSpace and TiError.
    """
    database = places.database
    blobs = stored_blobs(places)
    if not database.exists() and not blobs:
        raise NotFound(f"there is no library in {places.home}", "ti invert makes one")
    with locked(database):
        if database.is_file() and is_whole(database, places.blobs):
            return Rebuilt(needed=False)
        if not blobs and database.is_file() and is_ours(database) is False:
            raise BadContent(
                f"{database} is a database of another program, and there are no files of concepts",
                "set TI_HOME to another folder",
            )
        concepts, unreadable = list[Concept](), list[Path]()
        for stored in blobs:
            try:
                concepts.append(read_blob(stored.path)[0])
            except BadContent:
                unreadable.append(stored.path)
        later, complete = _evidence(database)
        chosen = _choose(concepts, later, complete)
        unfinished = database.with_name("library.db.rebuilt")
        try:
            new = build_database(unfinished)
            with explained(unfinished), contextlib.closing(new), change(new):
                for concept in chosen:
                    record.insert(new, _with_later(concept, later.get(concept.sha256, {})))
            put_aside = set_aside(database)
            unfinished.replace(database)
            sync_folder(database.parent)
        except OSError as error:
            raise explain(error, database) from error
    files = {concept.sha256 for concept in chosen}
    return Rebuilt(
        needed=True,
        names=tuple(concept.name for concept in chosen),
        kept_later=len(files & later.keys()),
        unreadable=tuple(sorted(unreadable)),
        left_out=tuple(Path(c.path) for c in concepts if c.sha256 not in files),
        put_aside=put_aside,
    )


def _evidence(database: Path) -> tuple[dict[str, dict[str, str]], bool]:
    """What can still be read of the old database, and whether that is all of its rows.

    A rebuild that was killed may have put it aside already.
    """
    if database.is_file():
        return later_values(database)
    aside = sorted(database.parent.glob("library-damaged-*.db"))
    return (later_values(aside[-1])[0] if aside else {}), False


def set_aside(database: Path) -> Path | None:
    """Rename a database that cannot be used, with its journal; return its new path.

    None if there is none. The caller holds the library's lock. Raises OSError.
    """
    journal = database.with_name(f"{database.name}-journal")
    if not database.exists() and not journal.exists():
        return None
    aside = free_name(database, "damaged")
    # The database first: nobody reads a journal alone, but one beside another database would be
    # rolled back into it.
    if database.exists():
        database.rename(aside)
        sync_folder(database.parent)
    if journal.exists():
        journal.rename(aside.with_name(f"{aside.name}-journal"))
        sync_folder(database.parent)
    return aside


def _choose(
    concepts: Iterable[Concept], later: Mapping[str, object], complete: bool
) -> list[Concept]:
    """One concept a name, oldest first. If the old rows are `complete`, others were removed."""
    by_name: dict[str, list[Concept]] = defaultdict(list)
    for concept in concepts:
        if not complete or concept.sha256 in later:
            by_name[concept.name].append(concept)

    def rank(concept: Concept) -> tuple[bool, str, str]:
        return concept.sha256 in later, concept.created, concept.sha256

    chosen = [max(group, key=rank) for group in by_name.values()]
    return sorted(chosen, key=lambda concept: (concept.created, concept.name))


def _with_later(concept: Concept, later: Mapping[str, str]) -> Concept:
    """The concept with what could be read of it in the old database."""
    known = dict[str, Any]()
    for key, text in later.items():
        with contextlib.suppress(ValueError):
            value = text if TYPES[key] is str else json.loads(text)
            known[key] = reader(TYPES[key])(value)
    return replace(concept, **known)
