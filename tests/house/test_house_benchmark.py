"""benchmarks/house.py follows every way to write an import."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def package(tmp_path):
    files = {
        "__init__.py": "",
        "top.py": "from . import middle\nimport pkg.inner.low",
        "middle.py": "from pkg.inner import low as lowest\nfrom .inner.deep.floor import x",
        "late.py": "def f():\n    from pkg import top\n",
        "typed.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pkg import late",
        "one.py": "import pkg.two",
        "two.py": "from pkg.one import name",
        "inner/__init__.py": "from .deep import floor",
        "inner/low.py": "from .. import inner\nfrom . import MISSING",
        "inner/deep/floor.py": "class A:\n    def f(self):\n        return 1\n",
        "inner/deep/top.py": "class A: ...\n",
        "tests/test_it.py": "from pkg import late",
    }
    for name, text in files.items():
        path = tmp_path / "pkg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "pkg"


def test_it_follows_imports(house, package) -> None:
    measured = house.House(package)
    at_import, anywhere = measured.imports(False), measured.imports(True)
    assert at_import["pkg.top"] == {"pkg.middle", "pkg.inner.low"}
    assert at_import["pkg.middle"] == {"pkg.inner.low", "pkg.inner.deep.floor"}
    assert at_import["pkg.inner"] == {"pkg.inner.deep.floor"}
    assert at_import["pkg.inner.low"] == {"pkg.inner"}
    assert at_import["pkg.late"] == at_import["pkg.typed"] == set()
    assert anywhere["pkg.late"] == {"pkg.top"}
    chain = ("pkg.top", "pkg.middle", "pkg.inner.low", "pkg.inner", "pkg.inner.deep.floor")
    assert house.longest_chain(at_import) == chain
    assert house.longest_chain(anywhere) == ("pkg.late", *chain)
    assert [sorted(circle) for circle in house.circles(at_import)] == [["pkg.one", "pkg.two"]]


def test_a_circle_counts_with_all_its_modules(house) -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert len(house.longest_chain(graph)) == 4


def test_it_prints_a_table(house, package, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["house.py", str(package)])
    house.main()
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "| | pkg |"
    assert "| modules | 11 |" in rows
    assert "| longest import chain: at import / in all | 5 / 6 |" in rows
    assert "| median / p90 function | 2 / 2 |" in rows
    assert "| base names that occur more than once | 1 |" in rows
    assert "| class names that occur more than once | 1 |" in rows
