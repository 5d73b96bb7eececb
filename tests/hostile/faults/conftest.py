"""A server of changes, the folders it works in, and how many moments are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import STRACE, Server, Stage


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty, of this process and of those it starts."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def server(isolated: Path, work: Path, tmp_path: Path) -> Iterator[Server]:
    if STRACE is None:
        pytest.skip("strace is not installed; test_fault_layer.py kills without it")
    server = Server(work, tmp_path / "stderr")
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def stage(work: Path, tmp_path: Path) -> Callable[[str], Stage]:
    """stage("rename") → its folders, prepared."""
    return lambda change: Stage(change, work, tmp_path / "kept")


@pytest.fixture
def most(request: pytest.FixtureRequest) -> Callable[[int], int | None]:
    """most(6) → 6 on ordinary days, None with --full-sweep: then nothing is left out."""
    whole = request.config.getoption("--full-sweep")
    return lambda number: None if whole else number
