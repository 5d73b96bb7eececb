"""What the tests on a CUDA device share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import build_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny-model"))
