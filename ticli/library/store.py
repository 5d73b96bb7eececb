"""The files of concepts and photos, named after the hash of their bytes.

A concept's file is enough to rebuild its row.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ticli.concept import Concept, Embedding
from ticli.durable import explain, make_folder, remove_files, sync_file, sync_folder, write_file
from ticli.errors import BadContent, Conflict, Usage
from ticli.library.formats.tensor_file import LARGEST_METADATA, build_tensor_file, parse_tensor_file
from ticli.library.record import check_vectors, concept_from_document, parse_document
from ticli.paths import Places

ROW = "ti.row"
# Characters of the row; the rest of the metadata is small.
LARGEST_ROW = LARGEST_METADATA - 4096
HASH = re.compile(r"[0-9a-f]{64}")
PHOTO_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
BROKEN = "other concepts are not affected; put the file back from a copy, or `ti rm` the concept"


def blob_path(blobs: Path, sha256: str) -> Path:
    """The path of the file with that hash."""
    return blobs / sha256[:2] / f"{sha256}.safetensors"


def encode_blob(concept: Concept, embedding: Embedding) -> bytes:
    """The bytes of a concept's file: one float32 tensor an encoder, the row as metadata.

    Raises Conflict if the row is larger than what is read back.
    """
    text = json.dumps(concept.as_file_json(), sort_keys=True)
    if len(text) > LARGEST_ROW:
        raise Conflict(
            f"what is known of {concept.name!r} is {len(text):,} bytes, and a file holds at most "
            f"{LARGEST_ROW:,}",
            "shorten its notes, or learn it with fewer sentences",
            name=concept.name,
        )
    named = {"ti.name": concept.name, "ti.token": concept.token, "ti.noun": concept.noun}
    return build_tensor_file(embedding.rows, {"format": "pt", **named, ROW: text})


def save_blob(blobs: Path, concept: Concept, embedding: Embedding) -> Concept:
    """Write a concept's file and return the concept with its path, bytes and sha256.

    An equal file that exists already is kept. Raises NoSpace and TiError.
    """
    data = encode_blob(concept, embedding)
    sha256 = hashlib.sha256(data).hexdigest()
    path = blob_path(blobs, sha256)
    make_folder(blobs)
    make_folder(path.parent)
    if read_regular(path) != data:
        write_file(path, data, replace=True)
    else:
        _sync_found(path)
    return replace(concept, path=str(path), bytes=len(data), sha256=sha256)


def load_blob(concept: Concept) -> Embedding:
    """Read a concept's vectors. Raises BadContent if the file is missing or has another hash."""
    path = Path(concept.path)
    data = read_regular(path)
    if data is None:
        raise BadContent(f"the file of {concept.name!r} is missing: {path}", BROKEN)
    if hashlib.sha256(data).hexdigest() != concept.sha256:
        raise BadContent(f"the file of {concept.name!r} is damaged: {path}", BROKEN)
    return Embedding(dict(parse_tensor_file(data, str(path)).tensors))


def read_blob(path: Path) -> tuple[Concept, Embedding]:
    """Rebuild a concept from its file alone: the row as it was when the file was written.

    Raises BadContent if the library did not write the file, or its name is not its hash.
    """
    data = read_regular(path)
    if data is None:
        raise BadContent(f"{path} cannot be read, or is a link", "put the file back from a copy")
    concept, embedding = decode_blob(data, str(path))
    if path.stem != concept.sha256:
        raise BadContent(f"{path} is damaged: its name is not the hash of its bytes", BROKEN)
    return replace(concept, path=str(path)), embedding


def decode_blob(data: bytes, origin: str) -> tuple[Concept, Embedding]:
    """Rebuild a concept from the bytes of its file; it has no path. Raises BadContent."""
    file = parse_tensor_file(data, origin)
    embedding = Embedding(dict(file.tensors))
    check_vectors(embedding, origin)
    try:
        concept = concept_from_document(parse_document(file.metadata[ROW]), embedding)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, Usage) as error:
        raise BadContent(
            f"{origin} says nothing of its concept that can be read", "`ti inspect` says what it is"
        ) from error
    sha256 = hashlib.sha256(data).hexdigest()
    return replace(concept, bytes=len(data), sha256=sha256), embedding


def keep_photo(photos: Path, sha256: str, source: Path) -> bool:
    """Copy a photo to its place by hash; False if it is gone or has changed.

    Raises NoSpace and TiError.
    """
    suffix = source.suffix.lower()
    target = photos / sha256[:2] / (sha256 + (suffix if PHOTO_SUFFIX.fullmatch(suffix) else ""))
    try:
        data = source.read_bytes()
    except OSError:
        return False
    if hashlib.sha256(data).hexdigest() != sha256:
        return False
    if read_regular(target) != data:
        make_folder(photos)
        make_folder(target.parent)
        write_file(target, data, replace=True)
    else:
        _sync_found(target)
    return True


def find_photos(photos: Path, hashes: Sequence[str]) -> list[Path]:
    """The kept copies of the photos with these hashes, in their order."""
    return [path for sha256 in hashes for path in _copies(photos, sha256)[:1]]


def drop_photos(photos: Path, hashes: Iterable[str]) -> None:
    """Remove the kept copies of photos. Raises TiError."""
    remove_files(path for sha256 in hashes for path in _copies(photos, sha256))


def _copies(photos: Path, sha256: str) -> list[Path]:
    """The files of that hash, whatever their suffix."""
    # Hashes come from rows, and rows from files of strangers: only a hash becomes part of a path.
    if not HASH.fullmatch(sha256):
        return []
    return sorted(
        path for path in (photos / sha256[:2]).glob("*") if path.name.partition(".")[0] == sha256
    )


def drop_blobs(blobs: Path, hashes: Iterable[str]) -> None:
    """Remove files that no row has any more. Raises TiError."""
    remove_files(blob_path(blobs, sha256) for sha256 in hashes)


def _sync_found(path: Path) -> None:
    """Sync a file that another process wrote: it may have been killed before it could."""
    try:
        sync_file(path)
        sync_folder(path.parent)
        sync_folder(path.parent.parent)
    except OSError as error:
        raise explain(error, path) from error


def read_regular(path: Path) -> bytes | None:
    """The bytes of a regular file; None if there is none, or a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return file.read()
    except OSError:
        return None


BLOB = re.compile(r"([0-9a-f]{64})\.safetensors")
PHOTO_NAME = re.compile(r"([0-9a-f]{64})(?:\.[a-z0-9]{1,8})?")
SHARD = re.compile(r"[0-9a-f]{2}")
TEMPORARY_NAME = re.compile(r"\..{0,40}\.[0-9a-f]{16}\.tmp")
# Databases that a killed process was building.
UNFINISHED = re.compile(r"library(-v\d+-backup|-replaced-[\dTZ-]+)?\.db\.(new|rebuilt)(-journal)?")
# Databases that a restore put aside: the files that they name are kept.
PUT_ASIDE = re.compile(r"library-replaced-[\dTZ-]+\.db")
STAGING = "restore.new"


@dataclass(frozen=True)
class Stored:
    """A file that is named after its hash."""

    path: Path
    sha256: str


def photos_folder(places: Places) -> Path:
    """Where the photos that were kept lie."""
    return places.home / "photos"


def stored_blobs(places: Places) -> list[Stored]:
    """Every file of a concept, in no order."""
    return list(_named_by_hash(places.blobs, BLOB))


def stored_photos(places: Places) -> list[Stored]:
    """Every photo that was kept, in no order."""
    return list(_named_by_hash(photos_folder(places), PHOTO_NAME))


def temporary_files(places: Places) -> list[Path]:
    """Files that a killed process was writing, and those being written now."""
    shards = [*_shards(places.blobs), *_shards(photos_folder(places))]
    folders = [places.home, *shards, *_folders(places.runs)]
    # A restore holds a lock while it has files here.
    found = [Path(entry.path) for entry in _entries(places.home / STAGING)]
    for folder in folders:
        for entry in _entries(folder):
            unfinished = folder == places.home and UNFINISHED.fullmatch(entry.name)
            if unfinished or TEMPORARY_NAME.fullmatch(entry.name):
                found.append(Path(entry.path))
    return sorted(found)


def databases_put_aside(places: Places) -> list[Path]:
    """The databases that restores replaced, oldest first."""
    return sorted(
        Path(entry.path) for entry in _entries(places.home) if PUT_ASIDE.fullmatch(entry.name)
    )


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files in a folder; 0 if it is gone."""
    try:
        if path.is_dir() and not path.is_symlink():
            return sum(size_of(Path(entry.path)) for entry in _entries(path))
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _named_by_hash(folder: Path, pattern: re.Pattern[str]) -> Iterator[Stored]:
    for shard in _shards(folder):
        for entry in _entries(shard):
            match = pattern.fullmatch(entry.name)
            if match and entry.name.startswith(shard.name):
                yield Stored(Path(entry.path), match[1])


def _shards(folder: Path) -> list[Path]:
    return [path for path in _folders(folder) if SHARD.fullmatch(path.name)]


def _folders(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(folder) if entry.is_dir(follow_symlinks=False)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


GRACE = timedelta(days=14)
# A file that is being written now, or a photo whose concept is about to be stored.
IN_USE = timedelta(hours=1)


@dataclass(frozen=True)
class Unused:
    """A file or folder that nothing needs.

    `since` is when it was first found unused; `due` says whether to remove it now.
    """

    kind: str
    path: Path
    bytes: int
    since: datetime
    due: bool


@dataclass(frozen=True)
class Grace:
    """How long unused files are kept. `everything` waits for nothing but files being written."""

    now: datetime
    everything: bool = False

    def judge(self, kind: str, path: Path, seen: datetime | None) -> Unused:
        """Say whether a file may be removed. `seen` is when an earlier prune found it unused.

        A time in the future, after the clock was put back, counts as now.
        """
        status = path.lstat()
        touched = datetime.fromtimestamp(max(status.st_mtime, status.st_ctime), UTC)
        first = self.now if seen is None or seen > self.now else seen
        since = max(first, touched)
        quiet = self.now - touched >= IN_USE or kind in (CONCEPT_FILE, CACHE)
        due = quiet if self.everything else seen is not None and self.now - since >= GRACE
        return Unused(kind, path, size_of(path), since, due)


CONCEPT_FILE, PHOTO, TEMPORARY, CACHE = "concept-file", "photo", "temporary", "cache"
