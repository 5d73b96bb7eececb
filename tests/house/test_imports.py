"""Rooms import only rooms before them, and nothing heavy before it is needed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"

# A room imports only rooms of earlier lines, not its neighbours on its own line. The modules beside
# the rooms, and `families`, come before all of them and import each other.
ORDER = (
    {"photos", "library"},
    {"models"},
    {"inversion", "generation"},
    {"scoring"},
    {"interface"},
    {"terminal"},
    {"commands"},
    {"app"},
    {"__main__"},
)
BASE = 0
RANKS = {room: rank for rank, rooms in enumerate(ORDER, BASE + 1) for room in rooms}
HEAVY = {
    "torch",
    "numpy",
    "diffusers",
    "transformers",
    "safetensors",
    "sqlite_utils",
    "PIL",
    "yaml",
    "rich",
    "pydantic",
    "platformdirs",
    "huggingface_hub",
}
FREE_OF_HEAVY = {"library", "interface", "terminal", "commands", "app", "__main__"}
FOR_PEOPLE = {"terminal", "commands", "app", "__main__"}


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every module that is named in an import, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            module = node.module or ""
            if module == "ticli":
                yield from ((f"ticli.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield module, node.lineno


def at_module_level(house, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What importing the module imports: not what stands in functions or for the type checker."""
    for node in house.import_statements(tree, inside_functions=False):
        yield from imported(node)


def rank(room: str) -> int:
    return RANKS.get(room, BASE)


def test_a_room_imports_only_rooms_before_it(sources) -> None:
    wrong = []
    for source in sources:
        if source.path == "__init__.py":
            continue  # the package's face only hands names on, when they are first used
        for module, line in imported(source.tree):
            parts = module.split(".")
            if parts[0] != "ticli" or parts[1] in (source.room, "__version__"):
                continue
            here, there = rank(source.room), rank(parts[1])
            if there > here or (there == here != BASE):
                wrong.append(f"{source.path}:{line} imports {module}")
    assert wrong == []


def test_what_starts_fast_needs_nothing_installed_at_import(house, sources) -> None:
    wrong = [
        f"{source.path}:{line} imports {module}"
        for source in sources
        if rank(source.room) == BASE or source.room in FREE_OF_HEAVY
        for module, line in at_module_level(house, source.tree)
        if module.split(".")[0] in HEAVY
    ]
    assert wrong == []


def test_only_the_terminal_the_commands_and_the_app_speak_to_people(sources) -> None:
    wrong = [
        f"{source.path}:{line} imports {module}"
        for source in sources
        if source.room not in FOR_PEOPLE
        for module, line in imported(source.tree)
        if module.split(".")[0] in ("typer", "rich", "click", "getpass", "curses", "readline")
    ]
    assert wrong == []


def test_private_parts_of_typer_are_left_alone(sources) -> None:
    wrong = [
        f"{source.path}:{line} imports {module}"
        for source in sources
        for module, line in imported(source.tree)
        if module.startswith(("typer._", "typer.core", "click"))
        # Where typer wants the class of a command; help pages have headings by it.
        and (source.path, module) != ("app.py", "typer.core")
    ]
    assert wrong == []


def test_contributing_gives_the_same_order(sources) -> None:
    text = CONTRIBUTING.read_text(encoding="utf-8").split("**The import rule.**")[1]
    paragraph = next(part for part in text.split("\n\n") if "→" in part)
    told = [set(re.findall(r"`(\w+)", step)) for step in paragraph.split("→")]
    assert told[0] <= {"families"}, "these come before every room"
    named = set.union(*told[1:])
    assert [rooms & named for rooms in ORDER if rooms & named] == told[1:]
    folders = {source.room for source in sources if "/" in source.path}
    assert folders - {"families"} <= named


def test_the_rule_is_about_rooms_that_exist(sources) -> None:
    rooms = {source.room for source in sources}
    assert {"photos", "library", "models", "inversion", "generation"} <= rooms
    assert {"terminal", "commands", "app", "__main__", "errors"} <= rooms


def test_what_judges_a_concept_has_no_part_in_learning_it(sources) -> None:
    """A figure counts only where nothing was chosen by the encoder that gives it."""
    learning = [source for source in sources if source.room in ("photos", "models", "inversion")]
    wrong = [
        f"{source.path}:{line} imports {module}"
        for source in learning
        for module, line in imported(source.tree)
        if module.split(".")[:2] == ["ticli", "scoring"]
    ]
    wrong += [source.path for source in learning if "starter/scorer" in source.text]
    wrong += [s.path for s in sources if s.room == "inversion" and '"scorer"' in s.text]
    assert wrong == []
    assert any(source.room == "scoring" for source in sources)
