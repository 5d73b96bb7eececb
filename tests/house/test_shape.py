"""The package stays small enough to read in a day."""

from __future__ import annotations

from pathlib import Path

import pytest

MODULES = 150
# The house of one engine took 27 500; what the real programs of the field write and take, 700.
LINES = 28_200
LINES_A_MODULE = 180
CHAIN = 14


@pytest.fixture(scope="session")
def ticli(house):
    return house.House(Path(__file__).parents[2] / "ticli")


def test_few_modules(ticli) -> None:
    assert len(ticli.trees) <= MODULES


def test_few_lines(ticli) -> None:
    assert ticli.lines <= LINES


def test_a_module_is_worth_opening(ticli) -> None:
    assert ticli.lines / len(ticli.trees) >= LINES_A_MODULE


@pytest.mark.parametrize("inside_functions", [False, True])
def test_imports_go_few_steps_down_and_never_round(house, ticli, inside_functions: bool) -> None:
    graph = ticli.imports(inside_functions)
    assert house.circles(graph) == []
    chain = house.longest_chain(graph)
    assert len(chain) <= CHAIN, " > ".join(chain)


def test_a_file_has_a_name_of_its_own(house, ticli) -> None:
    assert house.repeated(ticli.files) == []


def test_a_class_has_a_name_of_its_own(house, ticli) -> None:
    assert house.repeated(ticli.classes) == []
