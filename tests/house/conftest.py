"""The source files of the project, read once."""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Source:
    """One module of the package: its path inside it, its text, its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The folder, or for a file beside the rooms its own name."""
        head, _, rest = self.path.partition("/")
        return head if rest else head.removesuffix(".py")

    def nodes(self, *kinds: type[ast.AST]) -> list[ast.AST]:
        return [node for node in ast.walk(self.tree) if isinstance(node, kinds)]


def read(path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    return Source(path.relative_to(ROOT / "ticli").as_posix(), text, ast.parse(text))


@pytest.fixture(scope="session")
def sources() -> list[Source]:
    """Every module of the package."""
    found = [read(path) for path in sorted((ROOT / "ticli").rglob("*.py"))]
    assert len(found) > 50
    return found


@pytest.fixture(scope="session")
def house() -> ModuleType:
    """benchmarks/house.py, which measures packages."""
    place = ROOT / "benchmarks" / "house.py"
    specification = importlib.util.spec_from_file_location("house", place)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
