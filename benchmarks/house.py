"""Measure the shape of Python packages: `python benchmarks/house.py FOLDER [FOLDER …]`.

Prints one column per package. Every .py file is a module, `__init__.py` too, tests apart. The code
is parsed and never imported. Imports that only the type checker follows are left out.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

Import = ast.Import | ast.ImportFrom
Graph = dict[str, set[str]]


class House:
    """The modules of a package, and what stands in them."""

    def __init__(self, folder: Path) -> None:
        self.paths: dict[str, Path] = {}
        self.trees: dict[str, ast.Module] = {}
        self.lines = 0
        for path in sorted(folder.resolve().rglob("*.py")):
            inside = path.relative_to(folder.resolve()).with_suffix("").parts
            if any(part in ("tests", "test") or part.startswith("test_") for part in inside):
                continue
            name = ".".join([folder.resolve().name, *inside]).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            self.paths[name], self.trees[name] = path, ast.parse(text)
            self.lines += len(text.splitlines())
        nodes = [node for tree in self.trees.values() for node in ast.walk(tree)]
        functions = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        self.function_lines = sorted(n.end_lineno - n.lineno + 1 for n in functions)
        classes = [n for n in nodes if isinstance(n, ast.ClassDef)]
        self.classes = Counter(n.name for n in classes)
        marks = [[ast.unparse(mark) for mark in n.decorator_list] for n in classes]
        self.dataclasses = sum("dataclass" in " ".join(texts) for texts in marks)
        self.files = Counter(p.stem for p in self.paths.values() if p.name != "__init__.py")

    def imports(self, inside_functions: bool) -> Graph:
        """Which modules of the package each module imports."""
        graph: Graph = {}
        for name, tree in self.trees.items():
            found = [self._targets(name, n) for n in import_statements(tree, inside_functions)]
            graph[name] = {target for targets in found for target in targets} - {name}
        return graph

    def _targets(self, name: str, node: Import) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names if alias.name in self.trees]
        parts = name.split(".") + ["__init__"] * (self.paths[name].name == "__init__.py")
        home = parts[: -node.level] if node.level else []
        package = ".".join([*home, node.module] if node.module else home)
        # `from package import module` imports the module; the package only holds it.
        named = [(f"{package}.{alias.name}", package) for alias in node.names]
        return [next((n for n in names if n in self.trees), name) for names in named]


def import_statements(tree: ast.AST, inside_functions: bool) -> Iterator[Import]:
    """The imports of a module, with or without those that run when a function is called."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Import):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from import_statements(ast.Module(node.orelse, []), inside_functions)
        elif inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from import_statements(node, inside_functions)


def circles(graph: Graph) -> list[list[str]]:
    """The groups of modules that import each other."""
    return [group for group in _groups(graph) if len(group) > 1]


def longest_chain(graph: Graph) -> tuple[str, ...]:
    """The modules of the longest chain of imports; a circle counts with all its modules."""
    chains: dict[str, tuple[str, ...]] = {}
    for group in _groups(graph):
        below = [chains[target] for name in group for target in graph[name] if target in chains]
        chains |= dict.fromkeys(group, (*group, *max(below, key=len, default=())))
    return max(chains.values(), key=len)


def repeated(names: Counter[str]) -> list[str]:
    """The names that occur more than once."""
    return sorted(name for name, count in names.items() if count > 1)


def _groups(graph: Graph) -> list[list[str]]:
    """Strongly connected components; what a group imports comes before it (Tarjan 1972)."""
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        index = low[name] = len(low)
        stack.append(name)
        for target in sorted(graph[name]):
            if target not in low:
                visit(target)
            if target in stack:
                low[name] = min(low[name], low[target])
        if low[name] == index:
            groups.append(stack[stack.index(name) :])
            del stack[stack.index(name) :]

    sys.setrecursionlimit(max(sys.getrecursionlimit(), 20 * len(graph)))
    for name in graph:
        if name not in low:
            visit(name)
    return groups


def measures(house: House) -> dict[str, str]:
    """The rows of the table for one package."""
    count, lengths = len(house.trees), house.function_lines or [0]
    graphs = house.imports(inside_functions=False), house.imports(inside_functions=True)
    chains = " / ".join(f"{len(longest_chain(graph))}" for graph in graphs)
    return {
        "modules": f"{count}",
        "lines": f"{house.lines}",
        "lines a module": f"{house.lines / count:.0f}",
        "longest import chain: at import / in all": chains,
        "import circles: at import / in all": " / ".join(f"{len(circles(g))}" for g in graphs),
        "median / p90 function": f"{median(lengths):.0f} / {lengths[len(lengths) * 9 // 10]}",
        "classes / of them dataclasses": f"{house.classes.total()} / {house.dataclasses}",
        "base names that occur more than once": f"{len(repeated(house.files))}",
        "class names that occur more than once": f"{len(repeated(house.classes))}",
    }


def main() -> None:
    houses = [House(Path(folder)) for folder in sys.argv[1:]]
    if not houses or not all(house.trees for house in houses):
        sys.exit("usage: python benchmarks/house.py FOLDER [FOLDER …], each with a Python package")
    columns = [measures(house) for house in houses]
    print("| | " + " | ".join(Path(folder).resolve().name for folder in sys.argv[1:]) + " |")
    print("|---|" + "--:|" * len(columns))
    for row in columns[0]:
        print(f"| {row} | " + " | ".join(column[row] for column in columns) + " |")


if __name__ == "__main__":
    main()
