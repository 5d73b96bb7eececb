"""Disks that lack what a local one has: hard links, modes, locks; and one that is really full."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import changes
import pytest

from ticli.library import Library

WITHOUT_LINKS = "link,linkat"
WITHOUT_MODES = "chmod,fchmod,fchmodat,chown,fchown,fchownat"


@pytest.mark.parametrize("error", ["EPERM", "EOPNOTSUPP", "ENOSYS", "EMLINK"])
@pytest.mark.parametrize("change", ["send", "back_up"])
def test_without_hard_links(server, stage, change: str, error: str) -> None:
    """As on exFAT, and on SMB and FUSE mounts."""
    place = stage(change)
    before = place.observe()
    inject = f"inject={WITHOUT_LINKS}:error={error}"
    assert server.run(change, "-e", f"trace={WITHOUT_LINKS}", "-e", inject, "-o", "/dev/null") == 0
    assert place.observe() != before
    assert [p.name for p in place.work.iterdir() if p.name.endswith(".tmp")] == []


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_without_the_sync_of_folders(work, run, monkeypatch, number: int) -> None:
    """As on some network and FUSE mounts, which say so in these two ways."""
    plain = os.fsync

    def sync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    changes.prepare()
    assert run("export", "mug", "-o", "mug.safetensors").code == 0
    assert run("backup", "all.zip").code == 0
    assert Library.open().names() == ["cup", "mug", "vase"]


@pytest.mark.parametrize("change", ["first", "bring", "send", "rename", "restore", "rebuild"])
def test_without_modes(server, stage, change: str) -> None:
    place = stage(change)
    before = place.observe()
    inject = f"inject={WITHOUT_MODES}:error=EPERM"
    code = server.run(change, "-e", f"trace={WITHOUT_MODES}", "-e", inject, "-o", "/dev/null")
    assert code == 0, server.said()
    assert place.observe() != before
    place.sound()


@pytest.mark.parametrize("change", ["first", "upgrade", "rebuild", "restore", "prune"])
@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP"])
def test_without_the_lock_of_upgrades(server, stage, change: str, error: str) -> None:
    """A clear refusal: two first runs at once would make two libraries."""
    place = stage(change)
    before = place.observe() if change != "upgrade" else None
    place.reset()
    inject = f"inject=flock:error={error}"
    code = server.run(change, "-e", "trace=flock", "-e", inject, "-o", "/dev/null")
    said = server.said()
    assert code == 1 and "cannot be locked" in said and "local disk" in said
    if change != "upgrade":
        assert place.observe() == before


@pytest.mark.parametrize("change", ["add", "bring", "rename", "remove"])
@pytest.mark.parametrize("error", ["EOPNOTSUPP", "ENOLCK"])
def test_without_the_locks_of_databases(server, stage, most, change: str, error: str) -> None:
    if error == "ENOLCK" and most(1):
        pytest.skip("SQLite waits half a minute first: with --full-sweep only")
    place = stage(change)
    before = place.observe()
    inject = f"inject=fcntl:error={error}"
    code = server.run(change, "-e", "trace=fcntl", "-e", inject, "-o", "/dev/null")
    said = server.said()
    assert code == 1 and "cannot be locked" in said and "local disk" in said
    assert "Traceback" not in said
    assert place.observe() == before


FULL_DISK = """
set -e
mount -t tmpfs -o size=$1 tmpfs "$2"
cp -r "$3"/. "$2"
head -c 100m /dev/zero > "$2/ballast" 2>/dev/null || true
truncate -s -$4 "$2/ballast"
shift 4
status=0
"$@" || status=$?
rm "$TI_HOME/ballast"
"$1" -m ticli list -q
"$1" -m ticli doctor --fast -q
exit $status
"""


def test_on_a_disk_that_is_really_full(work: Path, isolated: Path, tmp_path: Path) -> None:
    changes.prepare_file()
    place = tmp_path / "small"
    place.mkdir()
    allowed = subprocess.run(["unshare", "-rm", "true"], capture_output=True)
    if shutil.which("unshare") is None or allowed.returncode:
        pytest.skip("no mounts of one's own here; test_no_room.py limits the size of files")
    for left in ("0", "4K", "12K"):
        # A page is the least that such a disk gives: with so little left a word does not fit.
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", FULL_DISK, "sh", "1m", place, isolated, left,
             sys.executable, "-m", "ticli", "import", changes.INCOMING, "--json"],
            env={**os.environ, "TI_HOME": str(place)},
            capture_output=True,
            text=True,
            timeout=120,
        )  # fmt: skip
        document, *names = done.stdout.splitlines()
        assert done.returncode == 1, (left, done)
        assert '"code": "no_space"' in document, (left, done)
        assert "Traceback" not in done.stderr
        assert [name for name in names if name in ("cup", "mug", "vase")] == ["cup", "mug", "vase"]
        assert "database" not in names and "temporary-files" not in names
    assert Library.open().names() == ["cup", "mug", "vase"]
