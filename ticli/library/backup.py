"""A library in one file: a zip of its database, the files of its concepts and its photos."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ticli import __version__
from ticli.errors import BadContent, NotFound, TiError
from ticli.library import checking
from ticli.library.adding import now
from ticli.library.checking import RowFile
from ticli.library.copying import copy_database
from ticli.library.failures import LOST, explained
from ticli.library.inventory import photos_folder, stored_photos
from ticli.library.migrations import change, open_to_read, open_to_write
from ticli.library.store import blob_path, read_regular
from ticli.paths import Places

VERSION = 1
MANIFEST, DATABASE = "manifest.json", "library.db"
PIECE = 1 << 20
# No time and no owner: the same library gives the same members.
LONG_AGO = (1980, 1, 1, 0, 0, 0)


@dataclass
class Backup:
    """What went into a backup so far: the manifest's files, and what could not be taken along.

    `left_out` names concepts, and photos by their path, with what is wrong with their files.
    """

    concepts: int = 0
    photos: int = 0
    bytes: int = 0
    files: dict[str, dict[str, str | int]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def back_up(places: Places, out: BinaryIO) -> Backup:
    """Write a library, as it is at one moment, to a stream that need not be seekable.

    Files are named by their content and never change, so they are copied while others work; only
    for the database and for what was added meanwhile do others wait. Every file is compared with
    its hash. Raises NotFound (no library), BadContent (damaged), OSError where `out` cannot be
    written, and TiError.
    """
    done = Backup()
    if not places.database.exists():
        raise NotFound(f"there is no library in {places.home}", "ti invert makes one")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _add_files(places, archive, done)
        with _unchanging(places), tempfile.TemporaryDirectory(prefix="ti-backup-") as folder:
            done.left_out.clear()
            _add_files(places, archive, done)
            copy = Path(folder) / DATABASE
            with explained(places.database):
                copy_database(places.database, copy)
            with copy.open("rb") as file:
                _add_stream(archive, done, DATABASE, file)
        done.photos = sum(name.startswith("photos/") for name in done.files)
        manifest = {
            "ti_backup": VERSION,
            "ti": __version__,
            "created": now(),
            "concepts": done.concepts,
            "left_out": sorted(done.left_out),
            "files": done.files,
        }
        archive.writestr(_member(MANIFEST), json.dumps(manifest, indent=1))
    return done


def _add_files(places: Places, archive: zipfile.ZipFile, done: Backup) -> None:
    """Add the files of every row, and their photos, that are not in the archive yet."""
    rows = _rows(places)
    done.concepts = len(rows)
    for row in rows:
        name = f"blobs/{row.sha256[:2]}/{row.sha256}.safetensors"
        _add(archive, done, (name, blob_path(places.blobs, row.sha256), row.sha256), row.name)
    wanted = {sha256 for row in rows for sha256 in row.photos}
    for stored in stored_photos(places):
        if stored.sha256 in wanted:
            name = stored.path.relative_to(photos_folder(places).parent).as_posix()
            _add(archive, done, (name, stored.path, stored.sha256), str(stored.path))


def _add(archive: zipfile.ZipFile, done: Backup, file: tuple[str, Path, str], owner: str) -> None:
    name, path, sha256 = file
    if name in done.files:
        return
    content = read_regular(path)
    if content is None or hashlib.sha256(content).hexdigest() != sha256:
        done.left_out[owner] = f"{path} is {'missing' if content is None else 'damaged'}"
        return
    archive.writestr(_member(name), content)
    done.files[name] = {"bytes": len(content), "sha256": sha256}
    done.bytes += len(content)


def _add_stream(archive: zipfile.ZipFile, done: Backup, name: str, file: BinaryIO) -> None:
    digest, size = hashlib.sha256(), 0
    with archive.open(_member(name), "w", force_zip64=True) as member:
        while piece := file.read(PIECE):
            member.write(piece)
            digest.update(piece)
            size += len(piece)
    done.files[name] = {"bytes": size, "sha256": digest.hexdigest()}
    done.bytes += size


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, LONG_AGO)
    member.external_attr = 0o100600 << 16
    return member


def _rows(places: Places) -> list[RowFile]:
    connection = open_to_read(places.database, places.blobs)
    if connection is None:
        return []
    with contextlib.closing(connection), explained(places.database):
        if damages := checking.damages(connection):
            raise BadContent(f"the library {places.database} is damaged: {damages[0]}", LOST)
        return list(checking.row_files(connection))


@contextlib.contextmanager
def _unchanging(places: Places) -> Iterator[None]:
    """Keep others from changing the library; one that may only be read stays as it is anyway."""
    try:
        connection = open_to_write(places.database, places.blobs)
    except TiError as error:
        if not error.details.get("read_only"):
            raise
        yield
        return
    with (
        contextlib.closing(connection),
        explained(places.database),
        change(connection),
    ):
        yield
