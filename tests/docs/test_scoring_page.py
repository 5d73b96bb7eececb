"""The page about scores: its commands parse, and every flag it names is one of `ti score`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "scoring.md").read_text(encoding="utf-8")
FENCED = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
INLINE = re.findall(r"`(ti score [^`]+)`", PAGE)
COMMANDS = [line for block in FENCED for line in block.splitlines() if line] + INLINE


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command: str) -> None:
    import typer

    from ticli.app import build

    words = shlex.split(command)
    assert words[:2] == ["ti", "score"]
    parser = typer.main.get_command(build()).commands["score"]
    with parser.make_context("score", words[2:]) as context:
        assert context.params["concepts"]


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 4


def test_flags_exist(run) -> None:
    help_page = run("score", "--help").out + run("invert", "--help").out
    benchmark = (Path(__file__).parents[2] / "benchmarks" / "quality.py").read_text("utf-8")
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)):
        assert flag in help_page or f'"{flag}"' in benchmark, flag


def test_the_scenes_of_the_page_are_those_that_are_drawn() -> None:
    from ticli.scoring import OBJECTS

    text = " ".join(PAGE.split())
    for bare in OBJECTS.bare[:-1]:
        assert bare in text
    assert "seven scenes" in text
    assert len(OBJECTS.scenes) == 7
