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


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if STRACE is None:
        pytest.skip("strace is not installed; test_fault_layer.py kills without it")
    server = Server(tmp_path_factory.mktemp("server") / "stderr")
    yield server
    server.close()


@pytest.fixture
def server(running: Server, work: Path) -> Server:
    """Runs changes in the test's library and current folder."""
    running.said()
    return running


@pytest.fixture
def stage(work: Path, tmp_path: Path) -> Callable[[str], Stage]:
    """stage("rename") → its folders, prepared."""
    return lambda change: Stage(change, work, tmp_path / "kept")


@pytest.fixture
def most(request: pytest.FixtureRequest) -> Callable[[int], int | None]:
    """most(6) → 6 on ordinary days, None with --full-sweep: then nothing is left out."""
    whole = request.config.getoption("--full-sweep")
    return lambda number: None if whole else number
