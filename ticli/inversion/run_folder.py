"""Unfinished runs on disk: one folder for each concept, locked while a process learns it.

`ti list` uses this module too, so torch is imported only to read and write tensors.
"""

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
from typing import TYPE_CHECKING, Any

from ticli.durable import make_folder, write_file
from ticli.errors import BadContent, Check, Conflict, TiError, counted, some_of
from ticli.library.formats.tensor_file import read_header
from ticli.library.store import GRACE, IN_USE, Grace, Unused, size_of

if TYPE_CHECKING:
    import torch

IDENTITY = "run.json"
CHECKPOINT = "checkpoint.safetensors"
LATENTS = "latents.safetensors"
HELD_OUT = "held-out.safetensors"
INIT_WORDS = "init.json"
LOCK = "lock"


@dataclass(frozen=True)
class Run:
    """A run whose lock this process holds; `step` is that of its checkpoint, or 0."""

    name: str
    path: Path
    step: int

    @property
    def checkpoint(self) -> Path:
        return self.path / CHECKPOINT


@dataclass(frozen=True)
class UnfinishedRun:
    """A run on disk; `updated` is the time of its last checkpoint, ISO 8601 in UTC."""

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
    """Lock the run called `name` in `folder`, new or as it was left.

    `identity` is a flat mapping of JSON values that must be the same to continue. Raises Conflict
    if another process holds the run, or if it took steps with another identity and not `fresh`.
    """
    path = folder / name
    make_folder(folder)
    make_folder(path)
    with _locked(path, name):
        if fresh or not _is_same(path, identity):
            _empty(path)
        if not (path / IDENTITY).exists():
            text = json.dumps(_as_json(identity), indent=1, sort_keys=False)
            write_file(path / IDENTITY, text.encode(), replace=True)
        yield Run(name, path, _step(path / CHECKPOINT))


def check_run(folder: Path, name: str, identity: Mapping[str, Any], *, fresh: bool) -> None:
    """Raise the Conflict that open_run would raise now, without changing anything."""
    path = folder / name
    if path.is_dir():
        with _locked(path, name):
            # A run that is thrown away may be damaged.
            if not fresh:
                _is_same(path, identity)


def _is_same(path: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a run is new or has this identity. Raises Conflict if steps would be lost."""
    known = _identity(path)
    if known is None or known == _as_json(identity):
        return True
    # A run without a checkpoint has nothing to lose.
    if (path / CHECKPOINT).exists():
        raise _difference(path.name, known, _as_json(identity))
    return False


def finish(run: Run) -> None:
    """Remove a run whose concept is in the library. Call this while the run is locked."""
    shutil.rmtree(run.path)


def unfinished(folder: Path) -> list[UnfinishedRun]:
    """All runs that were begun and not finished, by name."""
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
    """Throw away an unfinished run. Raises Conflict if it is live."""
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
    """Remove a run's files, its identity last: half empty, it is still the old run."""
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
    changed = [
        f"{key} was {_short(before.get(key))}, is now {_short(now.get(key))}"
        for key in {**before, **now}
        if before.get(key) != now.get(key)
    ]
    return Conflict(
        f"<{name}> has an unfinished run with other settings: {'; '.join(changed[:3])}",
        "give the same settings to continue it, or --fresh to throw it away and start over",
    )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _step(checkpoint: Path) -> int:
    """The step of a checkpoint; 0 if there is none that can be read."""
    try:
        with checkpoint.open("rb") as stream:

            def read(start: int, length: int) -> bytes:
                stream.seek(start)
                return stream.read(length)

            header = read_header(read, checkpoint.stat().st_size, checkpoint.name)
        return int(header.metadata["step"])
    except (OSError, BadContent, ValueError, KeyError):
        return 0


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """Write tensors as a safetensors file with a checksum, durably."""
    from safetensors.torch import save

    # Copied, because the format refuses tensors that share memory, as rows kept twice may.
    plain = {name: tensor.cpu().clone().contiguous() for name, tensor in tensors.items()}
    checksum = _checksum({name: tensor.numpy().tobytes() for name, tensor in plain.items()})
    write_file(path, save(plain, {**metadata, "sha256": checksum}), replace=True)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read what write_tensors wrote. Raises BadContent if the file is damaged."""
    from safetensors.torch import load

    tensors: dict[str, torch.Tensor] = load(_read_checked(path))
    return tensors


def _read_checked(path: Path) -> bytes:
    """Read a file of write_tensors and compare its checksum. Raises BadContent."""
    origin, fresh = f"the unfinished run's {path.name}", "start over with --fresh"
    try:
        data = path.read_bytes()
        header = read_header(lambda at, length: data[at : at + length], len(data), origin)
    except OSError as error:
        raise BadContent(f"{origin} cannot be read: {error}", fresh) from error
    except BadContent as error:
        raise BadContent(error.message, fresh) from error
    parts = {entry.key: data[entry.start : entry.end] for entry in header.entries}
    if header.metadata.get("sha256") != _checksum(parts):
        raise BadContent(f"{origin} is damaged: its checksum is wrong", fresh)
    return data


def _checksum(parts: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(parts):
        digest.update(name.encode())
        digest.update(parts[name])
    return digest.hexdigest()


def check_runs(folder: Path) -> Iterator[Check]:
    """Say for `ti doctor` whether every unfinished run can be continued, and what others left.

    A live run is not read, because its files change meanwhile.
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
    rest = [str(path) for path in _remains(folder)]
    if rest:
        said = f"{counted(len(rest), 'folder')} of runs that have ended: {some_of(rest)}"
        yield Check("run-remains", "warn", said, "ti prune", tuple(rest))


def _remains(folder: Path) -> list[Path]:
    """Folders without an identity, left by a run that was killed when it began or ended."""
    known = {run.path for run in unfinished(folder)}
    return sorted(
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.is_dir() and not path.is_symlink() and path not in known and not is_live(path)
    )


def _problems(path: Path) -> list[str]:
    problems = []
    try:
        if not _identity(path):
            problems.append(f"{IDENTITY} is damaged")
    except BadContent:
        problems.append(f"{IDENTITY} cannot be read")
    for name in (LATENTS, HELD_OUT, CHECKPOINT):
        try:
            if (path / name).exists():
                _read_checked(path / name)
        except BadContent:
            problems.append(f"{name} is damaged")
    return problems


RUN, REMAINS = "run", "run-remains"


def stale_runs(folder: Path, grace: Grace) -> list[Unused]:
    """Find runs whose last checkpoint is old, and what ended runs left. A live run never goes."""
    found = []
    for run in unfinished(folder):
        if not run.live:
            # The time of its own checkpoint: a clock that was put back makes no run old.
            since = datetime.fromisoformat(run.updated)
            due = grace.everything or grace.now - since >= GRACE
            found.append(Unused(RUN, run.path, size_of(run.path), since, due))
    for path in _remains(folder):
        since = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        due = grace.now - since >= (IN_USE if grace.everything else GRACE)
        found.append(Unused(REMAINS, path, size_of(path), since, due))
    return found


def remove_runs(doomed: Sequence[Unused]) -> list[Unused]:
    """Remove runs found before, but for those that are live now; return what went.

    A TiError names under `completed` what went before it.
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
