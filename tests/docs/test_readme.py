"""What the README says to type exists, and its first command does what it promises."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


def shell_lines(text: str) -> list[str]:
    """The lines of the shell blocks."""
    return [line for block in BLOCK.findall(text) for line in block.splitlines() if line.strip()]


def ti_calls(line: str) -> Iterator[list[str]]:
    """The arguments of every `ti` in a shell line; redirections belong to the shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.commenters = "#"
    call: list[str] | None = None
    words = iter(lexer)
    for word in words:
        if set(word) <= set("|&;"):
            if call is not None:
                yield call
            call = None
        elif set(word) <= set("<>"):
            next(words)
        elif call is not None:
            call.append(word)
        elif word == "ti" or word.endswith("/ti"):
            call = []
    if call is not None:
        yield call


def marked_line(text: str, mark: str) -> str:
    """The shell line below `<!-- command: MARK -->`."""
    found = re.search(rf"^<!-- command: {mark} -->\n```sh\n(.*)\n```$", text, re.MULTILINE)
    assert found, f"no command marked {mark}"
    return found[1]


@pytest.fixture(scope="session")
def readme() -> str:
    """The text of the README."""
    return (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def group() -> Any:
    """The parser's command group."""
    import typer

    from ticli.app import build

    return typer.main.get_command(build())


def flags_of(command: Any) -> set[str]:
    return {name for item in command.params for name in (*item.opts, *item.secondary_opts)}


def test_every_shell_line_parses_as_a_real_call(readme: str, group) -> None:
    calls = [call for line in shell_lines(readme) for call in ti_calls(line)]
    assert len(calls) > 25
    for name, *arguments in calls:
        assert name in group.commands, name
        with group.commands[name].make_context(name, list(arguments)) as context:
            assert context.args == []


def test_every_command_has_its_line(readme: str, group) -> None:
    told = {call[0] for line in shell_lines(readme) for call in ti_calls(line)}
    told |= set(re.findall(r"`ti\s+([a-z]+)", readme))
    shown = {name for name, command in group.commands.items() if not command.hidden}
    assert shown == told


def test_every_flag_in_the_prose_exists(readme: str, group) -> None:
    known = set().union(*(flags_of(command) for command in group.commands.values()))
    prose = BLOCK.sub("", readme)
    inline = " ".join(re.findall(r"`([^`]+)`", prose))
    told = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", inline))
    assert len(told) > 8
    assert told <= known


def test_inline_calls_name_real_flags(readme: str, group) -> None:
    for words in re.findall(r"`ti\s+([^`]+)`", BLOCK.sub("", readme)):
        name, *rest = words.split()
        command = group.commands[name]
        assert {word for word in rest if word.startswith("-")} <= flags_of(command), words


def test_the_exit_codes_are_those_of_the_code(readme: str) -> None:
    from ticli.errors import ExitCode

    rows = re.findall(r"^\| ([\d, ]+) \|", readme, re.MULTILINE)
    told = {int(number) for row in rows for number in row.split(",")}
    assert told | {ExitCode.BROKEN_PIPE} == set(ExitCode)


def test_links_lead_to_files(readme: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    files = [link for link in links if "://" not in link]
    assert files
    assert [link for link in files if not (ROOT / link).is_file()] == []


def test_both_commands_are_one_line_each_and_pinned(readme: str) -> None:
    for mark in ("try", "test"):
        line = marked_line(readme, mark)
        assert "-c constraints.txt" in line
        assert line.startswith("python3 -m venv ")
        assert " && " in line and ";" not in line
    assert "/pytest -n auto" in marked_line(readme, "test")


@pytest.mark.slow
def test_the_first_command_draws_a_picture(readme: str, run, tmp_path, monkeypatch) -> None:
    """The `ti` parts of the line, at a few steps; the install line is run by .ci/run."""
    from PIL import Image

    here = tmp_path / "clone"
    here.mkdir()
    (here / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(here)
    invert, generate = ti_calls(marked_line(readme, "try"))
    assert (invert[0], generate[0]) == ("invert", "generate")
    learned = run(*invert, "--steps", "2")
    assert (learned.code, learned.out) == (0, "mug\n")
    drawn = run(*generate, "--steps", "2")
    assert drawn.code == 0
    (path,) = drawn.lines
    with Image.open(here / path) as image:
        assert image.size == (128, 128)
