"""Modules and functions say what they are, and nothing is left for later."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def functions(source) -> list[ast.FunctionDef]:
    return source.nodes(ast.FunctionDef, ast.AsyncFunctionDef)


def test_every_module_says_what_it_is_in_two_lines(sources) -> None:
    wrong = []
    for source in sources:
        text = ast.get_docstring(source.tree) or ""
        if not text:
            wrong.append(f"{source.path} has no docstring")
        elif len(text.splitlines()[0]) > 100 or len(text.split("\n\n")[0].splitlines()) > 2:
            wrong.append(f"{source.path} says too much at once")
    assert wrong == []


def test_every_public_function_has_a_sentence(sources) -> None:
    wrong = [
        f"{source.path}:{node.name}"
        for source in sources
        for node in source.tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert wrong == []


def test_everything_is_annotated(sources) -> None:
    wrong = [
        f"{source.path}:{function.name}"
        for source in sources
        for function in functions(source)
        if function.returns is None
        or any(a.annotation is None for a in function.args.args if a.arg not in ("self", "cls"))
    ]
    assert wrong == []


def test_no_note_for_later_is_left(sources) -> None:
    words = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
    wrong = [source.path for source in sources if words.search(source.text)]
    wrong += [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("*.py")
        if words.search(path.read_text(encoding="utf-8"))
    ]
    assert wrong == []


def test_no_file_is_a_drawer(sources) -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}
    names = {part.removesuffix(".py") for source in sources for part in source.path.split("/")}
    assert names & drawers == set()
