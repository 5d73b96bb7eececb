"""The library looked over from its folder to the last byte of its files; nothing is changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from ticli.checkup import Check, counted, some_of
from ticli.errors import TiError
from ticli.library import checking
from ticli.library.checking import RowFile
from ticli.library.failures import LOST, explained
from ticli.library.inventory import photos_folder, stored_blobs, stored_photos, temporary_files
from ticli.library.locking import LOCAL_DISK, locks_work
from ticli.library.migrations import MIGRATIONS, connect_to_read, is_present
from ticli.library.store import blob_path
from ticli.paths import Places

LITTLE_ROOM, NO_ROOM = 200 << 20, 1 << 20
REBUILD, PRUNE = "ti doctor --rebuild", "ti prune"
RM = "put the file back from a backup, or run ti rm"


def check_library(places: Places) -> Iterator[Check]:
    """Look at folders, database, rows, files and what crashes left, in this order.

    Raises TiError where a folder cannot even be listed.
    """
    if not places.home.is_dir():
        yield Check("home", "ok", f"no library yet; {places.home} is made when it is needed")
        return
    yield from _folder_checks(places)
    try:
        with explained(places.database):
            if not is_present(places.database, places.blobs):
                yield Check("database", "ok", "no concept yet")
                return
            connection = connect_to_read(places.database)
    except TiError as error:
        yield Check("database", "fail", error.message, _fix(error))
        return
    with contextlib.closing(connection):
        yield from _database_checks(connection, places)


def _fix(error: TiError) -> str:
    return REBUILD if error.hint == LOST else error.hint


def _folder_checks(places: Places) -> Iterator[Check]:
    yield Check("home", "ok", str(places.home))
    yield _permissions(places)
    unwritable = [
        p for p in (places.home, places.blobs) if p.exists() and not os.access(p, os.W_OK)
    ]
    if places.database.exists() and not os.access(places.database, os.W_OK):
        unwritable.append(places.database)
    if unwritable:
        said = some_of([str(path) for path in unwritable])
        yield Check("write-access", "warn", f"may only be read: {said}", f"chmod u+w {said}")
    else:
        yield Check("write-access", "ok", "the library may be changed")
    if locks_work(places.database):
        yield Check("locks", "ok", "locks work here")
    else:
        said = f"{places.home} is on a disk that has no locks"
        yield Check("locks", "fail", said, LOCAL_DISK)
    free = shutil.disk_usage(places.home).free
    said = f"{free / 1e9:,.1f} GB free"
    if free < LITTLE_ROOM:
        yield Check("disk", "fail" if free < NO_ROOM else "warn", said, "free some room")
    else:
        yield Check("disk", "ok", said)


def _permissions(places: Places) -> Check:
    """Whether others may look into the library: folders 0700, files 0600."""
    open_to_others = [
        path
        for path in (
            places.home,
            places.database,
            places.config,
            places.runs,
            places.blobs,
            photos_folder(places),
        )
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    # What lies in a folder that is closed is closed.
    inside = places.home in open_to_others
    if inside:
        open_to_others += [
            stored.path
            for stored in [*stored_blobs(places), *stored_photos(places)]
            if stat.S_IMODE(stored.path.lstat().st_mode) & 0o077
        ]
    if not open_to_others:
        return Check("permissions", "ok", "only you may read the library")
    names = tuple(str(path) for path in open_to_others)
    return Check(
        "permissions",
        "warn",
        f"others may look into {some_of(names)}",
        f"chmod -R go= '{places.home if inside else names[0]}'",
        names,
    )


def _database_checks(connection: sqlite3.Connection, places: Places) -> Iterator[Check]:
    database = places.database
    try:
        with explained(database):
            version = checking.schema_of(connection, database)
            damages = checking.damages(connection)
            rows = list(checking.row_files(connection))
            wordless = checking.rows_without_words(connection)
            writable = all(os.access(path, os.W_OK) for path in (database, database.parent))
            whole_words = not writable or checking.word_index_is_whole(connection)
            current = version == len(MIGRATIONS)
            ours = checking.same_schema(connection)
            unreadable = checking.unreadable_rows(connection, places.blobs) if current else []
    except TiError as error:
        yield Check("database", "fail", error.message, _fix(error))
        return
    if damages:
        said = f"{database} is damaged: {some_of(damages)}"
        yield Check("database", "fail", said, REBUILD, tuple(damages))
        return
    yield Check("database", "ok", f"sound, with {counted(len(rows), 'concept')}")
    if not ours:
        said = "there are tables or triggers that are not ti's, or some of ti's are missing"
        yield Check("schema", "fail", said, REBUILD)
    elif current:
        yield Check("schema", "ok", f"schema {version}")
    else:
        said = f"schema {version}; the next command brings it to {len(MIGRATIONS)}"
        yield Check("schema", "warn", said, "ti list")
    yield from _rows_and_words(unreadable, wordless, whole_words)
    yield from _files(rows, places)


def _rows_and_words(
    unreadable: list[str], wordless: list[int], whole_words: bool
) -> Iterator[Check]:
    if unreadable:
        said = f"the rows of {some_of(unreadable)} cannot be read"
        yield Check("rows", "fail", said, REBUILD, tuple(unreadable))
    else:
        yield Check("rows", "ok", "every row can be read")
    if wordless or not whole_words:
        said = f"the word index is not that of the rows ({len(wordless):,} differ)"
        yield Check("search", "fail", said, REBUILD)
    else:
        yield Check("search", "ok", "the word index is that of the rows")


def _files(rows: list[RowFile], places: Places) -> Iterator[Check]:
    broken = 0
    for row in rows:
        path = blob_path(places.blobs, row.sha256)
        if problem := _wrong_with(path, row.sha256):
            broken += 1
            said = f"the file of {row.name!r} is {problem}: {path}"
            yield Check("concept-file", "fail", said, f"{RM} {row.name}", (row.name, str(path)))
    if not broken:
        yield Check("concept-files", "ok", f"{counted(len(rows), 'file is', 'files are')} whole")
    blobs = {stored.sha256: stored.path for stored in stored_blobs(places)}
    named = {row.sha256 for row in rows}
    orphans = sorted(str(path) for sha256, path in blobs.items() if sha256 not in named)
    yield _left("orphan-files", orphans, "every file has a row", "file", "without a row")
    photos = stored_photos(places)
    wanted = {sha256 for row in rows for sha256 in row.photos}
    torn = sorted(str(s.path) for s in photos if _wrong_with(s.path, s.sha256))
    if torn:
        said = f"kept photos are damaged: {some_of(torn)}"
        yield Check("photos", "warn", said, "put them back from a backup", tuple(torn))
    else:
        yield Check(
            "photos", "ok", f"{counted(len(photos), 'kept photo is', 'kept photos are')} whole"
        )
    unused = sorted(str(s.path) for s in photos if s.sha256 not in wanted)
    yield _left(
        "orphan-photos", unused, "every kept photo has a concept", "photo", "without a concept"
    )
    temporary = [str(path) for path in temporary_files(places)]
    yield _left("temporary-files", temporary, "none is left", "temporary file", "left by a crash")


def _left(check: str, found: list[str], none: str, one: str, rest: str) -> Check:
    if not found:
        return Check(check, "ok", none)
    said = f"{counted(len(found), one)} {rest}: {some_of(found)}"
    return Check(check, "warn", said, PRUNE, tuple(found))


def _wrong_with(path: Path, sha256: str) -> str:
    """What is wrong with a file named after its hash, in a word; "" where nothing is."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            return "a link" if stat.S_ISLNK(status.st_mode) else "no file"
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"unreadable ({error.strerror})"
    return "" if found == sha256 else "damaged"
