"""The tables of docs/formats.md say what the code does, and its commands are commands."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "formats.md"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that makes the tables; the folders that it adds to the path go again."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    place = ROOT / "benchmarks" / "format_matrix.py"
    specification = importlib.util.spec_from_file_location("format_matrix", place)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_code(script) -> None:
    page = PAGE.read_text("utf-8")
    fresh = script.filled(page, script.tables(script.expected()))
    assert page == fresh, "python benchmarks/format_matrix.py --write"


def test_a_stale_table_is_seen(script) -> None:
    page = PAGE.read_text("utf-8").replace("| `png` |", "| `PNG` |")
    assert script.filled(page, script.tables(script.expected())) != page


def test_its_commands_are_understood() -> None:
    import typer

    from ticli.app import build

    root = typer.main.get_command(build())
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in line.split(" | ")]
    calls = [shlex.split(part) for part in parts if part.startswith("ti ")]
    assert len(calls) > 5
    for _, verb, *words in calls:
        with root.commands[verb].make_context(verb, words) as context:
            assert context.params
