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
            *("--model", str(tiny_folder), "--words", "1", "2", "--steps", "2", "--batch", "2"),
            *("--size", "64", "--dtype", "fp32", "--whole"),
        ]
    )
    del sys.modules["together"]
    printed = capsys.readouterr().out
    table = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| ([\d.]+) \| - \|$", printed, re.M)
    assert [row[0] for row in table] == ["1", "2"]
    assert all(float(number) > 0 for row in table for number in row)
    whole = re.search(r"2 words of 2 steps: ([\d.]+) s together, ([\d.]+) s one by one", printed)
    assert whole and all(float(seconds) > 1 for seconds in whole.groups())
    assert os.environ["TI_HOME"] == home
