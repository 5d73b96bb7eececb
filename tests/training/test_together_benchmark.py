"""The benchmark of words that learn side by side runs on any model."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_it_compares_steps(tiny_folder, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import together

    home = os.environ["TI_HOME"]
    together.main(
        [
            *("--model", str(tiny_folder), "--words", "1", "3", "--steps", "2", "--batch", "2"),
            *("--size", "64", "--dtype", "fp32"),
        ]
    )
    del sys.modules["together"]
    table = re.findall(
        r"^\| (\d+) \| (\d+) \| (\d+) \| ([\d.]+) \| - \|$", capsys.readouterr().out, re.M
    )
    assert [row[0] for row in table] == ["1", "3"]
    assert all(float(number) > 0 for row in table for number in row)
    assert os.environ["TI_HOME"] == home
