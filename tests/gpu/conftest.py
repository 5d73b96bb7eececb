"""What the tests on a CUDA device share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from learning_runs import make_photos
from tiny import build_tiny_model
from tiny_families import FamilyFolders


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Show a failure at once: time on a card is dear, and a run may be cut off before its end."""
    if report.failed:
        print(f"\n{report.nodeid}\n{report.longreprtext}", file=sys.__stderr__, flush=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def family_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return FamilyFolders(tmp_path_factory.mktemp("families"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos", 3)
