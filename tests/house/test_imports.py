"""Rooms import only rooms before them, and nothing heavy before it is needed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

RANKS = {
    "photos": 1,
    "library": 1,
    "models": 2,
    "inversion": 3,
    "generation": 3,
    "scoring": 4,
    "interface": 5,
    "terminal": 6,
    "commands": 7,
    "app": 8,
    "__main__": 9,
}
WORDS = 0
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
FREE_OF_HEAVY = {"library", "terminal", "commands", "app", "__main__"}
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


def at_module_level(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What importing the module imports: not what stands in functions or for the type checker."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(node)
        waiting += ast.iter_child_nodes(node)


def rank(room: str) -> int:
    return RANKS.get(room, WORDS)


def test_a_room_imports_only_rooms_before_it(sources) -> None:
    wrong = []
    for source in sources:
        for module, line in imported(source.tree):
            parts = module.split(".")
            if parts[0] != "ticli" or parts[1] in (source.room, "__version__"):
                continue
            here, there = rank(source.room), rank(parts[1])
            if there > here or (there == here != WORDS):
                wrong.append(f"{source.path}:{line} imports {module}")
    assert wrong == []


def test_the_words_need_nothing_installed_at_import(sources) -> None:
    wrong = [
        f"{source.path}:{line} imports {module}"
        for source in sources
        if rank(source.room) == WORDS or source.room in FREE_OF_HEAVY
        for module, line in at_module_level(source.tree)
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
    ]
    assert wrong == []


def test_the_rule_is_about_rooms_that_exist(sources) -> None:
    rooms = {source.room for source in sources}
    assert {"photos", "library", "models", "inversion", "generation"} <= rooms
    assert {"terminal", "commands", "app", "__main__", "errors"} <= rooms


def test_what_judges_a_word_has_no_part_in_learning_it(sources) -> None:
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
