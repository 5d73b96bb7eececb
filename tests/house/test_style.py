"""Files, functions and signatures stay small enough to be read in one go, and say what they are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

LONGEST_FILE, LONGEST_COMMAND_FILE = 300, 120
LONGEST_FUNCTION = 40
MOST_PARAMETERS = 5
# Packing the flags of `ti invert` and `ti score` and carrying the calls out are files of their own.
NO_COMMAND = {
    "commands/learning_run.py",
    "commands/learning_together.py",
    "commands/scoring_run.py",
}


def functions(source) -> list[ast.FunctionDef]:
    return source.nodes(ast.FunctionDef, ast.AsyncFunctionDef)


def commands() -> set[str]:
    """The functions of the command table, as "commands/file.py:function"."""
    from ticli.app import VERBS

    return {f"commands/{verb.function.replace(':', '.py:')}" for verb in VERBS} | {"app.py:_root"}


def lines_of(function: ast.FunctionDef, with_signature: bool) -> int:
    """Lines of code, its docstring apart."""
    first, *rest = function.body
    documented = ast.get_docstring(function) is not None
    start = function.lineno if with_signature else first.lineno
    text = first.end_lineno - first.lineno + 1 if documented else 0
    assert rest or not documented or function.name.startswith("__")
    return function.end_lineno - start + 1 - text


def test_files_are_short(sources) -> None:
    long = {s.path: len(s.text.splitlines()) for s in sources}
    assert {path: n for path, n in long.items() if n > LONGEST_FILE} == {}
    of_commands = {path: n for path, n in long.items() if path.startswith("commands/")}
    wrong = {p: n for p, n in of_commands.items() if n > LONGEST_COMMAND_FILE}
    assert wrong.keys() - NO_COMMAND == set(), wrong


def test_functions_are_short(sources) -> None:
    exempt = commands()
    wrong = []
    for source in sources:
        for function in functions(source):
            at = f"{source.path}:{function.name}"
            size = lines_of(function, with_signature=at not in exempt)
            if size > LONGEST_FUNCTION:
                wrong.append(f"{at} has {size} lines")
    assert wrong == []


def test_signatures_are_short(sources) -> None:
    exempt = commands()
    wrong = []
    for source in sources:
        for function in functions(source):
            names = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
            count = len([name for name in names if name.arg not in ("self", "cls")])
            if count > MOST_PARAMETERS and f"{source.path}:{function.name}" not in exempt:
                wrong.append(f"{source.path}:{function.name} has {count} parameters")
    # The flags that every command has are one group.
    assert wrong == []


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
