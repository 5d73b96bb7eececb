"""What a disk may hold after the power fails: a recorded change replayed with writes left out.

The model is the least that POSIX promises. Bytes of a file are safe once that file was synced,
names in a folder once that folder was; of everything else any part may have reached the disk, in
any order. After T. Pillai et al., "All file systems are not created equal", OSDI 2014.
"""

from __future__ import annotations

import itertools
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

RECORDED = (
    "openat,write,pwrite64,lseek,fsync,fdatasync,ftruncate,rename,renameat,renameat2,link,linkat,"
    "unlink,unlinkat,mkdir,mkdirat,rmdir"
)
LINE = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+)(?:<(.*)>)?", re.MULTILINE)
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
OPENED = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2})*)")
FOLDER = "folder"
# Above this many writes that are not safe, subsets are drawn instead of listed.
LISTED = 8
DRAWN = 150


@dataclass(frozen=True, eq=False)
class Write:
    """Bytes of a file, or with `data` None its new length `start`."""

    inode: int
    start: int
    data: bytes | None


@dataclass(frozen=True, eq=False)
class Name:
    """Names that a folder gains or loses at once: path → inode, a folder, or None for gone."""

    folder: str
    entries: tuple[tuple[str, int | str | None], ...]


class File(NamedTuple):
    """A file: what was safe after so many syncs, and the later writes that reached the disk too."""

    inode: int
    epoch: int
    writes: tuple[Write, ...]


State = tuple[tuple[str, File | str], ...]


@dataclass
class Disk:
    """Files by number, names by path, and which operations are not safe yet."""

    roots: tuple[str, ...]
    # What was safe of each file, sync by sync.
    epochs: dict[int, list[bytes]] = field(default_factory=dict)
    names: dict[str, int | str] = field(default_factory=dict)
    live: dict[str, int | str] = field(default_factory=dict)
    pending: list[Write | Name] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, *roots: Path) -> Disk:
        """The disk as the folders are now, everything safe."""
        disk = cls(tuple(map(str, roots)))
        for root in roots:
            for path in [root, *root.rglob("*")]:
                disk.names[str(path)] = FOLDER if path.is_dir() else disk.file(path.read_bytes())
        disk.live = dict(disk.names)
        return disk

    def file(self, content: bytes = b"") -> int:
        self.epochs[len(self.epochs)] = [content]
        return len(self.epochs) - 1

    def ours(self, path: str) -> bool:
        return any(path == root or path.startswith(f"{root}/") for root in self.roots)

    def gain(self, *entries: tuple[str, int | str | None]) -> None:
        """Change names, which is not safe until their folder is synced."""
        for path, inode in entries:
            if inode is None:
                self.live.pop(path, None)
            else:
                self.live[path] = inode
        if len({_folder(path) for path, _ in entries}) == 1:
            self.pending.append(Name(_folder(entries[0][0]), entries))
        else:
            self.pending += [Name(_folder(path), ((path, inode),)) for path, inode in entries]

    def write(self, path: str, start: int, data: bytes | None) -> None:
        inode = self.live[path]
        assert isinstance(inode, int)
        self.pending.append(Write(inode, start, data))

    def sync(self, path: str) -> None:
        """Make safe what syncing a file or a folder makes safe."""
        inode = self.live.get(path)
        safe = [
            change
            for change in self.pending
            if (isinstance(change, Write) and change.inode == inode and inode != FOLDER)
            or (isinstance(change, Name) and inode == FOLDER and change.folder == path)
        ]
        if not safe:
            return
        self.names = self._names(safe)
        if isinstance(inode, int):
            writes = [change for change in safe if isinstance(change, Write)]
            self.epochs[inode].append(self._filled(self._version(inode, {inode: writes})))
        self.pending = [change for change in self.pending if change not in safe]

    def possible(self, draw: random.Random) -> Iterator[State]:
        """Every state this disk can be in if the power fails now."""
        count = len(self.pending)
        if count <= LISTED:
            choices = list(itertools.product((False, True), repeat=count))
        else:
            one = [[i == j for j in range(count)] for i in range(count)]
            choices = [[False] * count, [True] * count, *one]
            choices += [[not kept for kept in choice] for choice in one]
            choices += [[i < j for i in range(count)] for j in range(count)]
            choices += [[draw.random() < 0.5 for _ in range(count)] for _ in range(DRAWN)]
        for choice in choices:
            kept = list(itertools.compress(self.pending, choice))
            names = self._names(kept)
            written: dict[int, list[Write]] = {}
            for change in kept:
                if isinstance(change, Write):
                    written.setdefault(change.inode, []).append(change)
            visible: set[str] = set()
            state = []
            # A folder comes before what is in it; what is in a lost folder is lost.
            for path in sorted(names):
                if path in self.roots or _folder(path) in visible:
                    visible.add(path)
                    inode = names[path]
                    file = inode if isinstance(inode, str) else self._version(inode, written)
                    state.append((path, file))
            yield tuple(state)

    def filled(self, state: State) -> dict[Path, bytes | None]:
        """A state with the bytes of its files; a folder has None."""
        return {
            Path(path): None if isinstance(file, str) else self._filled(file)
            for path, file in state
        }

    def _version(self, inode: int, written: dict[int, list[Write]]) -> File:
        return File(inode, len(self.epochs[inode]) - 1, tuple(written.get(inode, ())))

    def _names(self, changes: Sequence[Write | Name]) -> dict[str, int | str]:
        names = dict(self.names)
        for change in changes:
            for path, inode in change.entries if isinstance(change, Name) else ():
                if inode is None:
                    names.pop(path, None)
                else:
                    names[path] = inode
        return names

    def _filled(self, file: File) -> bytes:
        content = self.epochs[file.inode][file.epoch]
        for write in file.writes:
            if write.data is None:
                content = content[: write.start].ljust(write.start, b"\0")
            else:
                content = content.ljust(write.start, b"\0")
                rest = content[write.start + len(write.data) :]
                content = content[: write.start] + write.data + rest
        return content


def replay(disk: Disk, trace: str) -> Iterator[tuple[str, bool]]:
    """Apply a recorded change call by call; yield the call, and at the end "" and True."""
    for call, arguments, result, opened in LINE.findall(trace):
        if int(result) >= 0 and _apply(disk, (call, arguments, int(result), opened)):
            yield call, False
    yield "", True


def _apply(disk: Disk, line: tuple[str, str, int, str]) -> bool:
    """Whether a call concerned the disk, which then has changed."""
    call, arguments, result, opened = line
    texts = [_bytes(text) for text in TEXT.findall(arguments)]
    if call == "openat":
        return _open(disk, arguments, str(result), _bytes(opened).decode())
    if number := OPENED.match(arguments):
        path = _bytes(number[2]).decode()
        if not disk.ours(path) or path not in disk.live:
            return False
        return _on_open_file(disk, call, number[1], path, (arguments, texts, result))
    paths = [str(Path(disk.roots[-1], text.decode())) for text in texts]
    if not paths or not disk.ours(paths[-1]):
        return False
    if call.startswith("rename"):
        disk.gain((paths[0], None), (paths[1], disk.live[paths[0]]))
    elif call.startswith("link"):
        disk.gain((paths[1], disk.live[paths[0]]))
    elif call.startswith("mkdir"):
        disk.gain((paths[0], FOLDER))
    else:
        disk.gain((paths[-1], None))
    return True


def _open(disk: Disk, arguments: str, number: str, path: str) -> bool:
    disk.offsets[number] = 0
    if not disk.ours(path):
        return False
    if path not in disk.live and "O_CREAT" in arguments:
        disk.gain((path, disk.file()))
        return True
    if "O_TRUNC" in arguments:
        disk.write(path, 0, None)
        return True
    return False


def _on_open_file(
    disk: Disk, call: str, number: str, path: str, rest: tuple[str, list[bytes], int]
) -> bool:
    arguments, texts, result = rest
    if call == "lseek":
        disk.offsets[number] = result
        return False
    if call == "ftruncate":
        disk.write(path, int(arguments.rpartition(", ")[2]), None)
    elif call == "write":
        disk.write(path, disk.offsets[number], texts[-1][:result])
        disk.offsets[number] += result
    elif call == "pwrite64":
        disk.write(path, int(arguments.rpartition(", ")[2]), texts[-1][:result])
    else:
        disk.sync(path)
    return True


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def materialise(state: dict[Path, bytes | None], roots: Sequence[Path]) -> None:
    """Make the folders what a disk would show after the power is back."""
    for root in roots:
        for path in root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path, content in sorted(state.items()):
        if content is None:
            path.mkdir(exist_ok=True, mode=0o700)
        else:
            path.write_bytes(content)
            path.chmod(0o600)
