"""What lies in the folders of a library, told apart by name; no file is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ticli.paths import Places

BLOB = re.compile(r"([0-9a-f]{64})\.safetensors")
PHOTO_NAME = re.compile(r"([0-9a-f]{64})(?:\.[a-z0-9]{1,8})?")
SHARD = re.compile(r"[0-9a-f]{2}")
TEMPORARY_NAME = re.compile(r"\..{0,40}\.[0-9a-f]{16}\.tmp")
# Databases that were being built when somebody was killed.
UNFINISHED = re.compile(r"library(-v\d+-backup|-replaced-[\dTZ-]+)?\.db\.(new|rebuilt)(-journal)?")
# Databases put aside whole, by a restore: what they name is not rubbish.
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
    """Files that were being written when somebody was killed, and those being written now."""
    folders = [
        places.home,
        *_shards(places.blobs),
        *_shards(photos_folder(places)),
        *_folders(places.runs),
    ]
    # A restore holds a lock while it has files here.
    found = [Path(entry.path) for entry in _entries(places.home / STAGING)]
    for folder in folders:
        for entry in _entries(folder):
            in_home = folder == places.home
            if TEMPORARY_NAME.fullmatch(entry.name) or (
                in_home and UNFINISHED.fullmatch(entry.name)
            ):
                found.append(Path(entry.path))
    return sorted(found)


def databases_put_aside(places: Places) -> list[Path]:
    """The databases that restores replaced, oldest first."""
    return sorted(
        Path(entry.path) for entry in _entries(places.home) if PUT_ASIDE.fullmatch(entry.name)
    )


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files in a folder; 0 where it is gone."""
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

    `since` is when that was first seen, as far as the record and the file's own times agree;
    `due` whether it goes now.
    """

    kind: str
    path: Path
    bytes: int
    since: datetime
    due: bool


@dataclass(frozen=True)
class Grace:
    """How long what is unused is kept: `everything` is for what is not just being written."""

    now: datetime
    everything: bool = False

    def judge(self, kind: str, path: Path, seen: datetime | None) -> Unused:
        """Say whether something may go. Without a record of it, it is seen for the first time.

        A clock that was put back makes ages negative; those are no age at all.
        """
        status = path.lstat()
        touched = datetime.fromtimestamp(max(status.st_mtime, status.st_ctime), UTC)
        first = self.now if seen is None or seen > self.now else seen
        since = max(first, touched)
        quiet = self.now - touched >= IN_USE or kind in (CONCEPT_FILE, CACHE)
        due = quiet if self.everything else seen is not None and self.now - since >= GRACE
        return Unused(kind, path, size_of(path), since, due)


CONCEPT_FILE, PHOTO, TEMPORARY, CACHE = "concept-file", "photo", "temporary", "cache"
