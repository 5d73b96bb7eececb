"""Files are whole or absent, and never written through a link."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ticli.durable import make_folder, remove_file, write_file
from ticli.errors import Conflict, NoSpace, NotFound, TiError


def test_a_new_file_is_private_and_alone(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write_file(target, b"content", replace=False)
    assert target.read_bytes() == b"content"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.bin"]


def test_a_wider_mode_obeys_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "a.png", b"x", replace=False, mode=0o666)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640


def test_a_taken_name_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(Conflict, match=r"a\.bin exists already"):
        write_file(target, b"new", replace=False)
    assert target.read_bytes() == b"old"
    assert len([path for path in tmp_path.iterdir() if path.is_file()]) == 1


@pytest.mark.parametrize("replace", [True, False])
def test_a_link_is_never_followed(tmp_path: Path, replace: bool) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    link = tmp_path / "link"
    link.symlink_to(victim)
    if replace:
        write_file(link, b"new", replace=True)
        assert link.read_bytes() == b"new" and not link.is_symlink()
    else:
        with pytest.raises(Conflict):
            write_file(link, b"new", replace=False)
    assert victim.read_bytes() == b"precious"


def test_a_dangling_link_is_a_taken_name(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(Conflict):
        write_file(link, b"new", replace=False)
    assert not (tmp_path / "nowhere").exists()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no such folder: .*absent"):
        write_file(tmp_path / "absent" / "a", b"x", replace=True)


def test_a_file_in_place_of_a_folder_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TiError, match="cannot be written"):
        write_file(tmp_path / "file" / "a", b"x", replace=True)
    with pytest.raises(TiError):
        make_folder(tmp_path / "file" / "folder")


def test_a_full_disk_says_how_much_is_needed_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(NoSpace, match=r"no room for .*a\.bin") as caught:
            write_file(target, bytes(10_000), replace=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "10,000 bytes" in caught.value.hint
    assert caught.value.details["bytes_needed"] == 10_000
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.bin"]


def test_the_folder_is_private_and_made_with_its_parents(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_removing_twice_is_no_error(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"x", replace=False)
    remove_file(tmp_path / "a")
    remove_file(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_importing_it_imports_nothing_heavy() -> None:
    seen = subprocess.run(
        [sys.executable, "-c", "import ticli.durable, sys; print('numpy' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.strip() == "False"
