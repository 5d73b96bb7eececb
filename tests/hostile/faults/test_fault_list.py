"""The list of faults is complete, and every test that it names is there."""

from __future__ import annotations

import ast
from pathlib import Path

from fault_list import FAULTS

FOLDER = Path(__file__).parent


def test_there_are_thirty_and_each_is_shown() -> None:
    assert [fault.number for fault in FAULTS] == list(range(1, 31))
    for fault in FAULTS:
        assert fault.tests, fault
        for test in fault.tests:
            file, _, name = test.partition("::")
            path = FOLDER / file
            assert path.is_file(), test
            known = [
                node.name
                for node in ast.parse(path.read_text()).body
                if isinstance(node, ast.FunctionDef)
            ]
            start = name.partition("[")[0] or "test_"
            assert any(function.startswith(start) for function in known), test
