"""Homes that are unset, gone, oddly named or too long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ticli.library import Library

ROOT = Path(__file__).parents[3]
SCRIPT = """
import os, sys
if sys.argv[1]:
    os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])
from ticli.__main__ import main
sys.exit(main(sys.argv[2:]))
"""


def ti(*arguments: str, gone: Path | str = "", **environment: str | None):
    """Call `ti` in a process, perhaps in a folder that is no more, with this environment."""
    plain = {key: value for key, value in os.environ.items() if key not in environment}
    plain |= {key: value for key, value in environment.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(gone), *arguments],
        env=plain | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("name", ["with spaces", "mit-äöü-日本", "quote'\"dollar$", "new\nline"])
def test_a_home_of_any_name(name: str, tmp_path: Path, library_with, monkeypatch, run) -> None:
    home = tmp_path / name
    monkeypatch.setenv("TI_HOME", str(home))
    library_with("mug")
    assert run("list", "-q").lines == ["mug"]
    assert run("doctor", "--fast", "-q").code == 0
    assert run("backup", str(tmp_path / "all.zip"), "-q").code == 0
    (home / "library.db").write_bytes(b"")
    assert run("doctor", "--rebuild", "--fast", "-q").code == 0
    assert Library.open().names() == ["mug"]


@pytest.mark.parametrize("sign", ["?", "#", "%41", "&mode=memory"])
def test_a_home_whose_name_means_something_in_an_address(
    sign: str, tmp_path, library_with, monkeypatch, run
) -> None:
    monkeypatch.setenv("TI_HOME", str(tmp_path / f"home{sign}x"))
    library_with("mug")
    assert (tmp_path / f"home{sign}x" / "library.db").stat().st_size > 4096
    assert run("list", "-q").lines == ["mug"]


def test_without_home(tmp_path: Path) -> None:
    done = ti("list", "--json", HOME=None, TI_HOME=None, XDG_DATA_HOME=None)
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr
    done = ti("list", "--json", HOME=None, TI_HOME=str(tmp_path / "ti"))
    assert (done.returncode, done.stdout.strip()) == (0, "[]")


def test_in_a_folder_that_is_no_more(tmp_path: Path, library_with) -> None:
    library_with("mug")
    for number, (arguments, code) in enumerate(
        [
            (("list", "-q"), 0),
            (("show", "mug", "--field", "token"), 0),
            (("doctor", "--fast", "-q"), 0),
            (("export", "mug"), 3),
            (("export", "mug", "-o", "folder/"), 3),
            (("backup", "all.zip"), 3),
            (("import", "absent.safetensors"), 3),
        ]
    ):
        gone = tmp_path / f"gone-{number}"
        gone.mkdir()
        done = ti(*arguments, gone=gone)
        assert done.returncode == code, (arguments, done)
        assert "Traceback" not in done.stderr, done.stderr
        assert code == 0 or done.stderr.startswith("error: "), done


def test_names_and_paths_that_are_too_long(tmp_path: Path, library_with, run, monkeypatch) -> None:
    library_with("mug")
    long = "x" * 300
    for arguments in (
        ("export", "mug", "-o", f"{long}.safetensors"),
        ("backup", str(tmp_path / long)),
        ("restore", str(tmp_path / long), "-y"),
        ("import", long),
    ):
        result = run(*arguments)
        assert result.code in (1, 3), (arguments, result)
        assert "Traceback" not in result.err and "unexpected" not in result.err
    deep = tmp_path.joinpath(*["d" * 200] * 25)
    monkeypatch.setenv("TI_HOME", str(deep))
    assert run("list", "-q").code in (0, 1)
    result = run("import", str(tmp_path / "absent"))
    assert result.code in (1, 3) and "unexpected" not in result.err
    monkeypatch.setenv("TI_HOME", str(tmp_path / long))
    for arguments in (("list",), ("doctor", "--fast"), ("prune", "-y"), ("rm", "-y", "mug")):
        result = run(*arguments)
        assert result.code in (0, 1, 3), (arguments, result)
        assert "Traceback" not in result.err and "unexpected" not in result.err, result.err


def test_a_home_that_is_a_file(tmp_path: Path, run, monkeypatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("TI_HOME", str(tmp_path / "file"))
    for arguments in (("list",), ("doctor", "--fast"), ("prune", "-y"), ("backup", "x.zip")):
        result = run(*arguments)
        assert "Traceback" not in result.err and "unexpected" not in result.err, result.err
        assert result.code in (0, 1, 3), (arguments, result)
