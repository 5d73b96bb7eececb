"""A library that may only be read lists and loads, and says so where it is to be changed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import changes
import pytest

from ticli.errors import TiError
from ticli.library import Library

NOBODY = 65534


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Be someone who obeys permissions: root is another user for a while."""
    if os.geteuid() != 0:
        yield
        return
    if not hasattr(os, "setresuid"):
        pytest.skip("root cannot step down here")
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def sealed(isolated: Path) -> Iterator[Path]:
    """A copy of the test's library, of three words, in which nothing may be written."""
    changes.prepare()
    # The test's own folder is closed to other users.
    place = Path(tempfile.mkdtemp(prefix="sealed-"))
    place.chmod(0o755)
    home = place / "ti"
    shutil.copytree(isolated, home)
    for path in [home, *home.rglob("*")]:
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
        path.chmod(0o500 if path.is_dir() else 0o400)
    yield home
    for path in [home, *home.rglob("*")]:
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(place)


@pytest.fixture
def run_sealed(sealed: Path, run, monkeypatch: pytest.MonkeyPatch):
    """Call `ti` on the sealed copy, after the same call on the library itself went well.

    The first call also loads the code, which root may have where others may not read it.
    """

    def call(*arguments: str):
        assert run(*arguments).code == 0
        assert run("show", "nothing").code == 3
        with monkeypatch.context() as patch, ordinary_user():
            patch.setenv("TI_HOME", str(sealed))
            patch.setenv("HOME", str(sealed.parent))
            return run(*arguments)

    return call


def state(home: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in [home, *home.rglob("*")]}


def test_reading_works_and_leaves_no_trace(sealed: Path, run_sealed, monkeypatch) -> None:
    before = state(sealed)
    listed, shown = run_sealed("list", "-q"), run_sealed("show", "mug", "--field", "token")
    found = run_sealed("search", "mug", "-q")
    looked_at = run_sealed("doctor", "--fast", "--json")
    statuses = {check["id"]: check["status"] for check in looked_at.json["checks"]}
    # Whether that user may read the folders of the code and of its packages is not the question.
    for elsewhere in ("model", "packages"):
        statuses.pop(elsewhere)
    assert statuses["write-access"] == "warn" and "fail" not in statuses.values()
    assert (listed.code, listed.lines, listed.err) == (0, ["cup", "mug", "vase"], "")
    assert (shown.code, shown.out) == (0, "<mug>\n")
    assert (found.code, found.out) == (0, "mug\n")
    monkeypatch.setenv("TI_HOME", str(sealed))
    with ordinary_user():
        library = Library.open()
        vectors = [library.embedding(concept).vectors for concept in library.concepts()]
    assert vectors == [1, 1, 1]
    assert state(sealed) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("rm", "-y", "mug"),
        ("rename", "mug", "tasse"),
        ("tag", "mug", "--add", "kitchen"),
        ("merge", "mug", "cup", "--token", "both"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_changing_is_refused_in_words(sealed: Path, run_sealed, arguments: tuple[str, ...]) -> None:
    before = state(sealed)
    result = run_sealed(*arguments)
    assert result.code == 1
    assert result.out == ""
    assert "cannot be written" in result.err
    assert "TI_HOME" in result.err
    assert "Traceback" not in result.err
    assert state(sealed) == before


def test_adding_is_refused_and_leaves_no_file(sealed: Path, monkeypatch) -> None:
    before = state(sealed)
    monkeypatch.setenv("TI_HOME", str(sealed))
    with ordinary_user(), pytest.raises(TiError, match="cannot be written") as refused:
        Library.open().add(*changes.word("new"))
    assert refused.value.details["read_only"]
    assert state(sealed) == before


def test_use_is_not_recorded_and_that_is_no_error(sealed: Path, monkeypatch) -> None:
    monkeypatch.setenv("TI_HOME", str(sealed))
    with ordinary_user():
        recorded = Library.open().touch(["mug"])
        used = Library.open().get("mug").used
    assert (recorded, used) == (False, "")


def test_a_library_of_someone_else_is_said_to_be_so(sealed: Path, run_sealed) -> None:
    (sealed / "library.db").chmod(0)
    result = run_sealed("list")
    assert (result.code, result.out) == (1, "")
    assert "may not be read" in result.err


def test_a_home_that_cannot_be_made_is_named(sealed: Path, monkeypatch) -> None:
    monkeypatch.setenv("TI_HOME", str(sealed / "below"))
    with ordinary_user():
        names = Library.open().names()
        with pytest.raises(TiError) as refused:
            Library.open(write=True)
    assert names == []
    assert f"{sealed / 'below'} cannot be written" in str(refused.value)
