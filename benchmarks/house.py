"""Measure the shape of Python packages: `python benchmarks/house.py ticli [OTHER_PACKAGE …]`.

Prints one column per package: modules, lines, the longest chain of imports, circles, how long
functions are, and names that stand for two things. The code is parsed and never imported. Tests
inside a package are left out, and so are imports that only the type checker follows.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class Module:
    """One source file of a package, under the name it is imported by."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


class House:
    """The modules of a package and what imports what."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.modules = {module.name: module for module in _read(self.folder)}

    @cached_property
    def lines(self) -> int:
        return sum(len(module.text.splitlines()) for module in self.modules.values())

    @cached_property
    def functions(self) -> list[int]:
        """How many lines each function has."""
        return sorted(
            node.end_lineno - node.lineno + 1
            for node in self._nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        )

    @cached_property
    def classes(self) -> Counter[str]:
        return Counter(node.name for node in self._nodes(ast.ClassDef))

    @cached_property
    def dataclasses(self) -> int:
        return sum(
            any("dataclass" in ast.unparse(mark) for mark in node.decorator_list)
            for node in self._nodes(ast.ClassDef)
        )

    @cached_property
    def files(self) -> Counter[str]:
        """The base names of files, packages apart."""
        return Counter(m.path.stem for m in self.modules.values() if not m.is_package)

    def imports(self, inside_functions: bool) -> Graph:
        """Which modules of the package each module imports."""
        graph = {}
        for module in self.modules.values():
            found = {
                target
                for node in _imports(module.tree, inside_functions)
                for target in self._targets(module, node)
            }
            graph[module.name] = found - {module.name}
        return graph

    def _nodes(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        for module in self.modules.values():
            yield from (node for node in ast.walk(module.tree) if isinstance(node, kinds))

    def _targets(self, module: Module, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in self.modules)
            return
        source = node.module or ""
        if node.level:
            parts = module.name.split(".")
            home = parts[: len(parts) - node.level + module.is_package]
            source = ".".join([*home, *([node.module] if node.module else [])])
        for alias in node.names:
            # `from package import module` imports the module; the package only holds it.
            named = f"{source}.{alias.name}"
            if named in self.modules:
                yield named
            elif source in self.modules:
                yield source


def circles(graph: Graph) -> list[list[str]]:
    """The groups of modules that import each other (Tarjan 1972)."""
    return [group for group in _groups(graph) if len(group) > 1]


def longest_chain(graph: Graph) -> list[str]:
    """The modules of the longest chain of imports; a circle counts with all its modules."""
    chains: dict[str, list[str]] = {}
    for group in _groups(graph):  # what a group imports comes before it
        below = [chains[target] for name in group for target in graph[name] if target in chains]
        chain = [*group, *max(below, key=len, default=[])]
        chains |= dict.fromkeys(group, chain)
    return max(chains.values(), key=len, default=[])


def repeated(names: Counter[str]) -> list[str]:
    return sorted(name for name, count in names.items() if count > 1)


def _groups(graph: Graph) -> list[list[str]]:
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(graph[name]):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            at = stack.index(name)
            groups.append(stack[at:])
            del stack[at:]

    sys.setrecursionlimit(max(sys.getrecursionlimit(), 20 * len(graph)))
    for name in graph:
        if name not in index:
            visit(name)
    return groups


def _imports(tree: ast.AST, inside_functions: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _imports(node, inside_functions)


def _read(folder: Path) -> Iterator[Module]:
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        if any(part in ("tests", "test") or part.startswith("test_") for part in inside.parts):
            continue
        names = [folder.name, *inside.with_suffix("").parts]
        text = path.read_text(encoding="utf-8")
        name = ".".join(names[:-1] if path.name == "__init__.py" else names)
        yield Module(name, path, text, ast.parse(text))


def measures(house: House) -> dict[str, str]:
    """The rows of the table for one package."""
    count, lengths = len(house.modules), house.functions
    return {
        "modules": f"{count}",
        "lines": f"{house.lines:,}",
        "lines a module": f"{house.lines / count:.0f}",
        "longest import chain": f"{len(longest_chain(house.imports(False)))}",
        "… with imports inside functions": f"{len(longest_chain(house.imports(True)))}",
        "import circles": f"{len(circles(house.imports(True)))}",
        "function, median / p90": f"{median(lengths):.0f} / {lengths[len(lengths) * 9 // 10]}",
        "classes, of them dataclasses": f"{house.classes.total()}, {house.dataclasses}",
        "file names that occur twice": f"{len(repeated(house.files))}",
        "class names that occur twice": f"{len(repeated(house.classes))}",
    }


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/house.py PACKAGE_FOLDER …")
    columns = {path: measures(House(Path(path))) for path in sys.argv[1:]}
    print("| |" + "|".join(f" {Path(path).resolve().name} " for path in columns) + "|")
    print("|---|" + "--:|" * len(columns))
    for row in next(iter(columns.values())):
        print(f"| {row} |" + "|".join(f" {column[row]} " for column in columns.values()) + "|")


if __name__ == "__main__":
    main()
