"""Unfinished runs on disk: one folder a name, held by a lock while it is live. No torch here."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ticli.durable import make_folder, write_file
from ticli.errors import BadContent, Check, Conflict, TiError, counted, some_of
from ticli.library.store import GRACE, IN_USE, Grace, Unused, size_of

IDENTITY = "run.json"
CHECKPOINT = "checkpoint.safetensors"
LATENTS = "latents.safetensors"
HELD_OUT = "held-out.safetensors"
INIT_WORDS = "init.json"
LOCK = "lock"


@dataclass(frozen=True)
class Run:
    """A run this process holds the lock of. `step` is where its checkpoint stands, or 0."""

    name: str
    path: Path
    step: int

    @property
    def checkpoint(self) -> Path:
        return self.path / CHECKPOINT

    @property
    def latents(self) -> Path:
        return self.path / LATENTS

    @property
    def held_out(self) -> Path:
        return self.path / HELD_OUT

    @property
    def init_words(self) -> Path:
        return self.path / INIT_WORDS


@dataclass(frozen=True)
class UnfinishedRun:
    """A run found on disk; `updated` is the time of its last checkpoint, ISO 8601 in UTC."""

    name: str
    token: str
    step: int
    total: int
    updated: str
    path: Path
    live: bool


@contextmanager
def open_run(
    folder: Path, name: str, identity: Mapping[str, Any], *, fresh: bool = False
) -> Iterator[Run]:
    """Hold the run called `name` in `folder`, new or as it was left, for one process.

    `identity` is what must be the same to continue: a flat mapping of JSON values, compared in
    order. Raises Conflict where the run is live elsewhere, or took steps with another identity and
    not `fresh`.
    """
    path = folder / name
    make_folder(path)
    with _locked(path, name):
        if fresh or not _is_same(path, identity):
            _empty(path)
        if not (path / IDENTITY).exists():
            text = json.dumps(_as_json(identity), indent=1, sort_keys=False)
            write_file(path / IDENTITY, text.encode(), replace=True)
        yield Run(name, path, _step(path / CHECKPOINT))


def check_run(folder: Path, name: str, identity: Mapping[str, Any], *, fresh: bool) -> None:
    """Refuse what open_run would refuse now, with nothing held or changed. Raises Conflict."""
    path = folder / name
    if path.is_dir():
        with _locked(path, name):
            # A run that is to be thrown away may be anything, damaged too.
            if not fresh:
                _is_same(path, identity)


def _is_same(path: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a run in this folder is new, or as it was. Raises Conflict where steps are lost."""
    known = _identity(path)
    if known is None or known == _as_json(identity):
        return True
    # A run that never took a step, for it was refused, has nothing to lose.
    if (path / CHECKPOINT).exists():
        raise _difference(path.name, known, _as_json(identity))
    return False


def finish(run: Run) -> None:
    """Remove a run whose concept is in the library. Call while the run is held."""
    shutil.rmtree(run.path)


def unfinished(folder: Path) -> list[UnfinishedRun]:
    """Every run that was begun and not finished, in order of name."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            identity = _identity(path)
        except BadContent:
            identity = {}
        if identity is None:
            continue
        checkpoint = path / CHECKPOINT
        touched = checkpoint if checkpoint.exists() else path / IDENTITY
        time = datetime.fromtimestamp(touched.stat().st_mtime, UTC)
        found.append(
            UnfinishedRun(
                name=path.name,
                token=str(identity.get("token", f"<{path.name}>")),
                step=_step(checkpoint),
                total=int(identity.get("steps", 0)) * int(identity.get("restarts", 1)),
                updated=time.isoformat(timespec="seconds"),
                path=path,
                live=is_live(path),
            )
        )
    return found


def discard(run: UnfinishedRun) -> None:
    """Throw an unfinished run away. Raises Conflict where it is live."""
    with _locked(run.path, run.name):
        shutil.rmtree(run.path)


@contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    while True:
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode("ascii", "replace").strip()
            os.close(handle)
            raise Conflict(
                f"<{name}> is being learned by another process{f' ({holder})' if holder else ''}",
                "wait for it, or stop it with Ctrl-C; it can be continued later",
            ) from None
        # The holder may have finished and removed the file between our open and our lock.
        if (path / LOCK).exists() and os.path.samestat(os.fstat(handle), (path / LOCK).stat()):
            break
        os.close(handle)
        make_folder(path)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"pid {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def is_live(path: Path) -> bool:
    """Whether a process holds the run in this folder."""
    try:
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _empty(path: Path) -> None:
    """Remove a run's files, its identity last: half-emptied, it is still the old run."""
    for file in sorted(path.iterdir(), key=lambda file: file.name == IDENTITY):
        if file.name != LOCK:
            file.unlink()


def _as_json(identity: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(dict(identity)))
    return plain


def _identity(path: Path) -> dict[str, Any] | None:
    try:
        identity = json.loads((path / IDENTITY).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise BadContent(
            f"the unfinished run of <{path.name}> cannot be read: {error}",
            "start it again with --fresh",
        ) from error
    return identity if isinstance(identity, dict) else {}


def _difference(name: str, before: dict[str, Any], now: dict[str, Any]) -> Conflict:
    for key in {**before, **now}:
        if before.get(key) != now.get(key):
            return Conflict(
                f"<{name}> has an unfinished run with other settings: {key} was "
                f"{_short(before.get(key))}, is now {_short(now.get(key))}",
                "give the same to continue it, or --fresh to throw it away and start over",
            )
    raise AssertionError("equal identities do not differ")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _step(checkpoint: Path) -> int:
    """The step written in a checkpoint's header; 0 where there is none."""
    try:
        with checkpoint.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(min(length, 1 << 20)))
        return int(header["__metadata__"]["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


# What `ti doctor` says of unfinished runs: their files are read, torch is not needed.


def check_runs(folder: Path) -> Iterator[Check]:
    """Whether every unfinished run can be continued, and what runs left behind.

    A run that is live is passed over: its files change while they are read.
    """
    broken, good = 0, 0
    for run in unfinished(folder):
        problems = [] if run.live else _problems(run.path)
        if problems:
            broken += 1
            said = f"the unfinished run of {run.token} cannot be continued: {', '.join(problems)}"
            fix = f"ti rm --unfinished {run.name}, or ti invert … --fresh"
            yield Check("unfinished-run", "warn", said, fix, (run.name, str(run.path)))
        else:
            good += 1
    if not broken:
        yield Check("unfinished-runs", "ok", f"{counted(good, 'unfinished run')}, none damaged")
    rest = [str(path) for path in run_remains(folder)]
    if rest:
        said = f"{counted(len(rest), 'folder')} of runs that have ended: {some_of(rest)}"
        yield Check("run-remains", "warn", said, "ti prune", tuple(rest))


def run_remains(folder: Path) -> list[Path]:
    """Folders that a run which was killed while it was removed or begun left, with no identity."""
    known = {run.path for run in unfinished(folder)}
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.is_symlink() and path not in known and not is_live(path)
    )


def _problems(path: Path) -> list[str]:
    problems = []
    try:
        if not isinstance(json.loads((path / IDENTITY).read_text("utf-8")), dict):
            problems.append(f"{IDENTITY} is damaged")
    except (OSError, ValueError):
        problems.append(f"{IDENTITY} cannot be read")
    for name in (LATENTS, HELD_OUT, CHECKPOINT):
        if (path / name).exists() and not _is_whole(path / name):
            problems.append(f"{name} is damaged")
    return problems


def _is_whole(path: Path) -> bool:
    """Whether a file of tensors has the checksum that stands in it."""
    try:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        expected = header.pop("__metadata__")["sha256"]
        digest = hashlib.sha256()
        for name in sorted(header):
            start, end = header[name]["data_offsets"]
            digest.update(name.encode())
            digest.update(data[8 + length + start : 8 + length + end])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return bool(digest.hexdigest() == expected)


# Unfinished runs that nobody has continued for long, and what ended runs left.

RUN, REMAINS = "run", "run-remains"


def stale_runs(folder: Path, grace: Grace) -> list[Unused]:
    """Runs whose last checkpoint is old, and folders of runs that are no more. Changes nothing.

    A run that is live never goes.
    """
    found = []
    for run in unfinished(folder):
        if not run.live:
            # What its own checkpoint says: a clock that was put back makes no run old.
            since = datetime.fromisoformat(run.updated)
            due = grace.everything or grace.now - since >= GRACE
            found.append(Unused(RUN, run.path, size_of(run.path), since, due))
    for path in run_remains(folder):
        since = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        due = grace.now - since >= (IN_USE if grace.everything else GRACE)
        found.append(Unused(REMAINS, path, size_of(path), since, due))
    return found


def remove_runs(doomed: Sequence[Unused]) -> list[Unused]:
    """Remove runs found before; return what went. One that is live by now stays.

    A failure names what went until then under `completed`. Raises TiError.
    """
    removed: list[Unused] = []
    for unused in doomed:
        name = unused.path.name
        try:
            discard(UnfinishedRun(name, f"<{name}>", 0, 0, "", unused.path, live=False))
        except Conflict:
            continue
        except TiError as error:
            error.details["completed"] = [str(gone.path) for gone in removed]
            raise
        removed.append(unused)
    return removed
