"""Every pipeline of the README's "In a shell", as it is written, in a real bash."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


def pipelines() -> list[str]:
    """The lines of that section's shell block."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## In a shell\n")[2].partition("\n## ")[0]
    found = re.search(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert found
    return found[1].splitlines()


@dataclass(frozen=True)
class Outcome:
    """What a pipeline leaves: its stdout, and the names that the library then holds."""

    line: str
    out: list[str]
    names: list[str]


def check_head(outcome: Outcome) -> None:
    assert outcome.out == ["draft-1"]


def check_jq(outcome: Outcome) -> None:
    assert outcome.out == ["pair"]


def check_rm(outcome: Outcome) -> None:
    assert sorted(outcome.out) == ["draft-1", "draft-2"]
    assert outcome.names == ["mug", "pair"]


def check_invert(outcome: Outcome) -> None:
    assert outcome.out == ["mug"]
    assert "mug" in outcome.names


def check_generate_lines(outcome: Outcome) -> None:
    assert [Path(path).name.rpartition("-")[0] for path in outcome.out] == [
        "mug-on-the-moon",
        "mug-in-the-rain",
    ]
    for path in outcome.out:
        assert Path(path).read_bytes().startswith(PNG)


def check_generate_bytes(outcome: Outcome) -> None:
    assert outcome.out == []
    assert Path("moon.png").read_bytes().startswith(PNG)


def check_ssh(outcome: Outcome) -> None:
    assert outcome.out == ["mug"]


CHECKS: dict[str, Callable[[Outcome], None]] = {
    "ti list -q | head": check_head,
    "ti list --json | jq": check_jq,
    "ti list -q --tag draft | ti rm": check_rm,
    "find shots": check_invert,
    "printf": check_generate_lines,
    'ti generate "<mug> on the moon" -o - > moon.png': check_generate_bytes,
    "ti export mug -o - | ssh host": check_ssh,
}
HEAVY = ("find", "printf", "ti generate")


def check_of(line: str) -> Callable[[Outcome], None]:
    (found,) = [check for start, check in CHECKS.items() if line.startswith(start)]
    return found


def test_no_check_is_left_over() -> None:
    assert {check_of(line) for line in pipelines()} == set(CHECKS.values())


@pytest.fixture
def surroundings(library_with, launcher, isolated, tmp_path):
    """A small library, photos in shots/, a far machine, and a recipe of few steps."""
    library_with("draft-1", "draft-2", tags=("draft",))
    library_with("mug")
    library_with("pair", vectors=2)
    shutil.copytree(ROOT / "examples" / "mug", Path("shots"))
    launcher.with_name("ssh").write_text('#!/bin/sh\nshift\nTI_HOME="$HOME/far" exec "$@"\n')
    launcher.with_name("ssh").chmod(0o755)
    recipe = tmp_path / "brief.yaml"
    recipe.write_text("steps: 2\n")
    (isolated / "config.yaml").write_text(f"recipe: {recipe}\n")


@pytest.mark.parametrize(
    "line",
    [pytest.param(x, marks=pytest.mark.slow if x.startswith(HEAVY) else ()) for x in pipelines()],
)
def test_a_pipeline_does_what_it_says(line: str, surroundings, shell) -> None:
    if "jq" in line and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    if line.startswith("find"):
        assert shell("ti rm -y mug").code == 0
    done = shell(line)
    # `head` leaves early, which is no failure.
    assert done.code in ((0, 141) if "| head" in line else (0,)), done.err
    check_of(line)(Outcome(line, done.lines, shell("ti list -q").lines))
