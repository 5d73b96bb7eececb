"""The table of families in docs/models.md says what the tests do, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tiny_families import BUILDERS

from ticli.families import FAMILIES

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "models.md"
WALKS = ("invert", "generate", "export", "import")


def table() -> dict[str, dict[str, str]]:
    """The cells of the first table, by family and column."""
    lines = PAGE.read_text("utf-8").split("## Families")[1].strip().splitlines()
    rows = [line.strip("|").split("|") for line in lines[: lines.index("")]]
    columns = [cell.strip() for cell in rows[0]][1:]
    found = {}
    for row in rows[2:]:
        family, *cells = (cell.strip() for cell in row)
        found[family.split(":")[0]] = dict(zip(columns, cells, strict=True))
    return found


def commands_run(module: str, test: str) -> set[str]:
    """The verbs that a test calls `ti` with."""
    tree = ast.parse((TESTS / "families" / f"{module}.py").read_text("utf-8"))
    (function,) = (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == test
    )
    return {
        str(call.args[0].value)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "run"
        if call.args and isinstance(call.args[0], ast.Constant)
    }


def families_of(module: str, test: str) -> tuple[str, ...]:
    """The families a test is run for: its module's FAMILIES, which it must be parametrised with."""
    tree = ast.parse((TESTS / "families" / f"{module}.py").read_text("utf-8"))
    named = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    (function,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == test)
    asked = [ast.unparse(decorator) for decorator in function.decorator_list]
    # Those that are slow run in the same check.
    asked = [re.sub(r"everyday\((\w+)[^)]*\)", r"\1", text) for text in asked]
    if any("'name', BUILDERS" in text for text in asked):
        return tuple(BUILDERS)
    assert any("'family', FAMILIES" in text for text in asked), asked
    return tuple(ast.literal_eval(named["FAMILIES"]))


def covered() -> dict[str, set[str]]:
    """What is tested of each family: columns of the table."""
    walk = "test_round_trip", "test_from_photos_to_a_picture"
    found = {family: commands_run(*walk) & set(WALKS) for family in families_of(*walk)}
    for single in (
        ("test_single_files", "test_a_word_is_learned_exported_taken_back_and_drawn"),
        ("test_components", "test_a_word_is_learned_and_drawn_as_on_the_folder"),
    ):
        assert commands_run(*single) >= set(WALKS)
        for family in families_of(*single):
            found[family].add("single file")
    return found


def test_the_page_has_every_family_and_every_walk():
    found = table()
    assert list(found) == list(FAMILIES)
    assert all(list(cells) == [*WALKS, "single file"] for cells in found.values())


def test_a_cell_says_tested_where_a_test_walks_there_and_else_why_not():
    tested = covered()
    for family, cells in table().items():
        for column, cell in cells.items():
            if column in tested[family]:
                assert cell.startswith("tested"), (family, column, cell)
            else:
                assert cell.startswith("n/a: ") and len(cell) > 20, (family, column, cell)
