"""Back up a library to one zip: its database, the files of its concepts, its photos."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO

from ticli import __version__
from ticli.durable import explain
from ticli.errors import BadContent, NotFound, TiError
from ticli.library.database import LOST, changing, copy_database, explained, open_to_read
from ticli.library.library import now
from ticli.library.record import parse_document
from ticli.library.store import blob_path, read_regular, stored_photos
from ticli.library.upkeep import checking
from ticli.library.upkeep.checking import RowFile
from ticli.paths import Places

VERSION = 1
MANIFEST, DATABASE = "manifest.json", "library.db"
PIECE = 1 << 20
# No time and no owner: the same library gives the same members.
LONG_AGO = (1980, 1, 1, 0, 0, 0)


@dataclass
class Backup:
    """What a backup holds so far.

    `left_out` maps a concept, or the path of a photo, to what is wrong with its file.
    """

    concepts: int = 0
    photos: int = 0
    bytes: int = 0
    files: dict[str, dict[str, str | int]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def back_up(places: Places, out: BinaryIO) -> Backup:
    """Write the library, as it is at one moment, to a stream that need not be seekable.

    Files never change, so they are copied while other processes work; those wait only while the
    database, and what was added meanwhile, is copied. Every file is compared with its hash. Raises
    NotFound (no library), BadContent (damaged), OSError (`out` cannot be written) and TiError.
    """
    done = Backup()
    if not places.database.exists():
        raise NotFound(f"there is no library in {places.home}", "ti invert makes one")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _add_files(places, archive, done)
        with contextlib.ExitStack() as stack:
            try:
                # Nobody can change a library that is read-only.
                stack.enter_context(changing(places))
            except TiError as error:
                if not error.details.get("read_only"):
                    raise
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ti-backup-"))
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
    """Add the files and photos of every row that are not in the archive yet."""
    rows = _rows(places)
    done.concepts = len(rows)
    for row in rows:
        name = f"blobs/{row.sha256[:2]}/{row.sha256}.safetensors"
        _add(archive, done, (name, blob_path(places.blobs, row.sha256), row.sha256), row.name)
    wanted = {sha256 for row in rows for sha256 in row.photos}
    for stored in stored_photos(places):
        if stored.sha256 in wanted:
            name = stored.path.relative_to(places.home).as_posix()
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


BLOB = re.compile(r"blobs/([0-9a-f]{2})/(\1[0-9a-f]{62})\.safetensors")
PHOTO = re.compile(r"photos/([0-9a-f]{2})/(\1[0-9a-f]{62})(?:\.[a-z0-9]{1,8})?")
LARGEST_MANIFEST = 256 << 20
MOST_MEMBERS = 1_000_000
LARGEST_BLOB = 64 << 20
ENCRYPTED = 0x1 | 0x40
FIXED = 30
HINT, NOT_OURS = "make or fetch the backup again", "ti backup writes no such file"


@dataclass(frozen=True)
class BackupFile:
    """A backup whose members all have the sizes and hashes of its manifest."""

    origin: str
    manifest: Mapping[str, Any]
    archive: zipfile.ZipFile

    @property
    def files(self) -> tuple[str, ...]:
        """The members that are files of concepts or photos."""
        return tuple(name for name in self.manifest["files"] if name != DATABASE)

    def read(self, name: str) -> bytes:
        """The bytes of a member. Raises BadContent if they have changed."""
        with _reported(self.origin):
            data = self.archive.read(name)
        if hashlib.sha256(data).hexdigest() != self.manifest["files"][name]["sha256"]:
            raise BadContent(f"{self.origin} changed while it was read", HINT)
        return data

    def extract(self, name: str, target: Path) -> None:
        """Write a member to a new private file. Raises NoSpace, TiError and BadContent."""
        digest = hashlib.sha256()
        with self.archive.open(name) as source:
            try:
                descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    for piece in _pieces(source, self.origin):
                        digest.update(piece)
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise explain(error, target, self.manifest["files"][name]["bytes"]) from error
        if digest.hexdigest() != self.manifest["files"][name]["sha256"]:
            raise BadContent(f"{self.origin} changed while it was read", HINT)


@contextlib.contextmanager
def open_backup(path: Path) -> Iterator[BackupFile]:
    """Open a backup and compare every member with its hash. Raises NotFound and BadContent."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"no such file: {path}", "check the spelling") from error
    except OSError as error:
        raise BadContent(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadContent(f"{path} is not a file", "give a file that ti backup wrote")
    with os.fdopen(descriptor, "rb") as file, _checked(file, str(path)) as backup:
        yield backup


@contextlib.contextmanager
def open_backup_stream(stream: BinaryIO) -> Iterator[BackupFile]:
    """Read a backup from a pipe and check it. Raises BadContent, NoSpace and TiError."""
    with tempfile.TemporaryFile(prefix="ti-restore-") as file:
        try:
            shutil.copyfileobj(stream, file, PIECE)
            file.flush()
        except OSError as error:
            raise explain(error, Path(tempfile.gettempdir()) / "ti-restore") from error
        with _checked(file, "stdin") as backup:
            yield backup


@contextlib.contextmanager
def _checked(file: IO[bytes], origin: str) -> Iterator[BackupFile]:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with _reported(origin), contextlib.ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(file))
        members = _members(archive, size, origin)
        backup = BackupFile(origin, _manifest(archive, members, origin), archive)
        for name, said in backup.manifest["files"].items():
            if members[name].file_size != said["bytes"]:
                raise BadContent(f"{origin}: {name} is not as long as its manifest says", HINT)
            digest = hashlib.sha256()
            with archive.open(name) as member:
                for piece in _pieces(member, origin):
                    digest.update(piece)
            if digest.hexdigest() != said["sha256"]:
                raise BadContent(f"{origin}: {name} is damaged: its hash is another", HINT)
        stack.pop_all()
    with archive:
        yield backup


def _members(archive: zipfile.ZipFile, size: int, origin: str) -> dict[str, zipfile.ZipInfo]:
    """The members by name: stored plainly, without overlaps, and named as `ti backup` does."""
    infos = archive.infolist()
    if len(infos) > MOST_MEMBERS:
        raise BadContent(f"{origin} has {len(infos):,} members", NOT_OURS)
    members: dict[str, zipfile.ZipInfo] = {}
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        # The name as it stands in the file: zipfile cuts it at a NUL.
        name = info.orig_filename
        known = name in (MANIFEST, DATABASE) or BLOB.fullmatch(name) or PHOTO.fullmatch(name)
        if not known or name in members:
            raise BadContent(f"{origin} has a member {name[:80]!r}", NOT_OURS)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & ENCRYPTED:
            raise BadContent(f"{origin}: {name} is packed or encrypted", NOT_OURS)
        if info.compress_size != info.file_size or info.header_offset < end:
            raise BadContent(
                f"{origin}: {name} shares its bytes with another", "such files are made to deceive"
            )
        end = info.header_offset + FIXED + len(name) + info.file_size
        limit = {MANIFEST: LARGEST_MANIFEST, DATABASE: size}.get(name, LARGEST_BLOB)
        if end > size or info.file_size > limit:
            raise BadContent(f"{origin}: {name} is larger than can be", HINT)
        members[name] = info
    return members


def _manifest(
    archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], origin: str
) -> dict[str, Any]:
    """The manifest, which must name exactly the members. Raises BadContent."""
    if not {MANIFEST, DATABASE} <= members.keys():
        raise BadContent(
            f"{origin} is a zip file, but not a complete backup of a library",
            "give a file that ti backup wrote to its end",
        )
    try:
        manifest = parse_document(archive.read(MANIFEST).decode())
        version, files = manifest["ti_backup"], manifest["files"]
        for name, said in files.items():
            if type(said["bytes"]) is not int or not isinstance(said["sha256"], str):
                raise ValueError(f"{name} has no size and hash")
            match = BLOB.fullmatch(name) or PHOTO.fullmatch(name)
            if match and match[2] != said["sha256"]:
                raise ValueError(f"{name} is not named after its hash")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadContent(f"{origin}: its manifest cannot be read: {error}", HINT) from error
    if version != VERSION:
        raise BadContent(
            f"{origin} is a backup of version {version!r}, and this ti knows {VERSION}",
            "upgrade with `pip install --upgrade ticli`",
        )
    if files.keys() != members.keys() - {MANIFEST}:
        raise BadContent(f"{origin}: its manifest names other files than it holds", HINT)
    return manifest


def _pieces(member: IO[bytes], origin: str) -> Iterator[bytes]:
    with _reported(origin):
        while piece := member.read(PIECE):
            yield piece


@contextlib.contextmanager
def _reported(origin: str) -> Iterator[None]:
    """Turn zipfile's errors into BadContent."""
    try:
        yield
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise BadContent(f"{origin} is no backup, or a part of one: {error}", HINT) from error
    except OSError as error:
        raise BadContent(f"{origin} cannot be read: {error.strerror or error}", HINT) from error
