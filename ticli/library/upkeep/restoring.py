"""Restore a backup: replace the library or add to it, after checking everything."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ticli.concept import HASH, Concept
from ticli.durable import explain, make_folder, sync_folder, write_file
from ticli.errors import BadContent, Conflict, Usage
from ticli.library import record
from ticli.library.database import (
    LOST,
    changing,
    check_version,
    connect_to_read,
    explained,
    free_name,
    is_present,
    locked,
    open_to_write,
    replace_content,
)
from ticli.library.record import concept_from_document, parse_document
from ticli.library.store import STAGING, decode_blob, read_regular
from ticli.library.upkeep import checking
from ticli.library.upkeep.backups import BLOB, DATABASE, PHOTO, BackupFile
from ticli.library.upkeep.rebuilding import set_aside
from ticli.paths import Places

DECEIVING = "such files are made to deceive"


@dataclass(frozen=True)
class Standing:
    """The library before a restore; `concepts` is None if it is missing or damaged."""

    concepts: int | None
    damaged: bool


@dataclass(frozen=True)
class Restored:
    """The result: `skipped` were there already, `put_aside` is the old database."""

    names: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    put_aside: Path | None = None


def standing(places: Places) -> Standing:
    """Look at the library before a restore. Raises Conflict if that cannot be done."""
    try:
        if not is_present(places.database, places.blobs):
            return Standing(None, damaged=False)
    except BadContent:
        return Standing(None, damaged=True)
    if not checking.is_whole(places.database, places.blobs):
        return Standing(None, damaged=True)
    connection = connect_to_read(places.database)
    with contextlib.closing(connection), explained(places.database):
        return Standing(len(list(checking.row_files(connection))), damaged=False)


def restore(places: Places, backup: BackupFile, *, merge: bool, dry_run: bool = False) -> Restored:
    """Replace the library by a backup, or with `merge` add the concepts of the backup.

    Checks everything first, then stores the files, and changes the database last, at once. The old
    database is put aside, and the files that it names are not pruned. If the process is killed, the
    library is the old one or the new one. Raises BadContent (damaged, hostile), Conflict (another
    concept has the name, made by a newer `ti`), NoSpace and TiError.
    """
    there = standing(places)
    if merge and there.damaged:
        raise BadContent(f"the library {places.database} is damaged", LOST)
    if there.concepts is not None and not dry_run:
        # Prove it writable and upgrade it before taking the lock that upgrades take too.
        open_to_write(places.database, places.blobs).close()
    if not dry_run:
        make_folder(places.home)
    with _staging(places, dry_run) as folder:
        concepts = _prepare(backup, folder)
        new, skipped = concepts, list[Concept]()
        if merge and there.concepts:
            new, skipped = _sort_out(places, concepts)
        names = tuple(concept.name for concept in new), tuple(c.name for c in skipped)
        if dry_run:
            return Restored(*names)
        _store_files(places, backup, new)
        if merge and there.concepts:
            with changing(places) as connection:
                for concept in new:
                    try:
                        record.insert(connection, concept)
                    except sqlite3.IntegrityError as error:
                        said = f"another process has stored {concept.name!r} meanwhile"
                        raise Conflict(said, "try again") from error
            return Restored(*names)
        return Restored(*names, put_aside=_put_in_place(places, folder / DATABASE, there))


@contextlib.contextmanager
def _staging(places: Places, dry_run: bool) -> Iterator[Path]:
    """A temporary folder: in the library, or elsewhere for a dry run."""
    if dry_run:
        from tempfile import TemporaryDirectory

        with TemporaryDirectory(prefix="ti-restore-") as name:
            yield Path(name)
        return
    folder = places.home / STAGING
    with locked(places.database):
        try:
            shutil.rmtree(folder, ignore_errors=True)
            make_folder(folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(backup: BackupFile, folder: Path) -> list[Concept]:
    """Extract the database, upgrade it, and check every row against its file."""
    database = folder / DATABASE
    backup.extract(DATABASE, database)
    try:
        with explained(database):
            with contextlib.closing(connect_to_read(database)) as connection:
                check_version(connection, database)
                if not checking.same_schema(connection):
                    raise BadContent("its tables are not those of a library", DECEIVING)
                if damages := checking.damages(connection):
                    raise BadContent(damages[0])
            # From here on only our own triggers run.
            with contextlib.closing(open_to_write(database, folder / "blobs")) as connection:
                concepts = record.select_all(connection, folder / "blobs")
    except BadContent as error:
        said = error.message.replace(str(database), DATABASE)
        raise BadContent(f"{backup.origin}: {DATABASE} cannot be used: {said}") from error
    for concept in concepts:
        _check_row(backup, concept)
    return concepts


def _check_row(backup: BackupFile, concept: Concept) -> None:
    """Refuse a row that differs from its file: it will become paths, prompts and completions."""
    try:
        hashes = [concept.sha256, *(photo.sha256 for photo in concept.photos)]
        if not concept.sha256 or not all(HASH.fullmatch(sha256) for sha256 in hashes):
            raise ValueError("a hash of it is none")
        name = f"blobs/{concept.sha256[:2]}/{concept.sha256}.safetensors"
        if name not in backup.manifest["files"]:
            if concept.name in backup.manifest.get("left_out", []):
                return
            raise ValueError("its file is not in the backup")
        _, embedding = decode_blob(backup.read(name), name)
        checked = concept_from_document(parse_document(json.dumps(concept.as_json())), embedding)
        same = (checked.name, checked.token, checked.widths, checked.vectors)
        if same != (concept.name, concept.token, concept.widths, concept.vectors):
            raise ValueError("it is not that of its file")
        if not isinstance(concept.used, str) or not isinstance(concept.bytes, int):
            raise ValueError("its last use or size cannot be read")
    except (ValueError, KeyError, TypeError, AttributeError, BadContent, Usage) as error:
        raise BadContent(
            f"{backup.origin}: the row of {str(concept.name)[:80]!r} cannot be used: {error}",
            "make the backup again, or import the files in it one by one",
        ) from error


def _sort_out(places: Places, concepts: Sequence[Concept]) -> tuple[list[Concept], list[Concept]]:
    """The concepts that are new here, and those that exist already. Raises Conflict."""
    database = places.database
    with explained(database), contextlib.closing(connect_to_read(database)) as connection:
        here = {row.name: row.sha256 for row in checking.row_files(connection)}
    taken = [c.name for c in concepts if here.get(c.name, c.sha256) != c.sha256]
    if taken:
        raise Conflict(
            f"other concepts have these names here: {', '.join(taken)}",
            "ti rename or ti rm them first, or restore without --merge",
            names=taken,
        )
    new = [concept for concept in concepts if concept.name not in here]
    return new, [concept for concept in concepts if concept.name in here]


def _store_files(places: Places, backup: BackupFile, concepts: Sequence[Concept]) -> None:
    """Store the files and photos of concepts, unless an equal file exists."""
    wanted = {concept.sha256 for concept in concepts}
    wanted |= {photo.sha256 for concept in concepts for photo in concept.photos}
    for name in backup.files:
        match = BLOB.fullmatch(name) or PHOTO.fullmatch(name)
        if match is None or match[2] not in wanted:
            continue
        target = places.home / name
        content = backup.read(name)
        make_folder(target.parent.parent)
        make_folder(target.parent)
        if read_regular(target) != content:
            write_file(target, content, replace=True)


def _put_in_place(places: Places, database: Path, there: Standing) -> Path | None:
    """Put the staged database in place; return where the old one is, if there was one."""
    try:
        if there.concepts is not None:
            aside = free_name(places.database, "replaced")
            with explained(places.database):
                replace_content(places, database, aside if there.concepts else None)
            return aside if there.concepts else None
        old = set_aside(places.database)
        database.replace(places.database)
        sync_folder(places.home)
        return old
    except OSError as error:
        raise explain(error, places.database) from error
