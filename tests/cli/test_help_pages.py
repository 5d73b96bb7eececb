"""Help: bare `ti`, `ti --help`, `ti help CMD`, and the page of every command."""

from __future__ import annotations

import re
import shlex

import pytest

from ticli import __version__
from ticli.app import VERBS, build, needed

NAMES = [verb.name for verb in VERBS]
SHARED = ("--json", "--quiet", "-q", "--verbose", "-v", "--no-color", "--debug")


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help",), ("help",)], ids=" ".join)
def test_the_overview(run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.code, result.err) == (0, "")
    assert result.out.index("Examples:") < result.out.index("Learn:")
    listed = [line.split()[0] for line in result.lines if line.startswith("  ")]
    assert [name for name in listed if name in NAMES] == NAMES
    assert max(len(line) for line in result.lines) <= 85


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_the_version(run, flag: str) -> None:
    result = run(flag)
    assert (result.code, result.out, result.err) == (0, f"ti {__version__}\n", "")


@pytest.mark.parametrize("name", [*NAMES, "ls"])
def test_every_page_ends_with_an_example_and_knows_the_shared_flags(run, name: str) -> None:
    pages = [run(name, "--help"), run(name, "-h"), run("help", name)]
    assert [page.code for page in pages] == [0, 0, 0]
    assert pages[0].out == pages[1].out == pages[2].out
    page = pages[0].out
    verb = next(verb for verb in VERBS if name in (verb.name, *verb.aliases))
    assert page.rstrip().endswith(verb.examples[-1])
    assert re.search("Examples?:", page)
    for flag in SHARED:
        assert flag in page, flag
    assert "\x08" not in page


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_overview_says_what_the_page_says(verb) -> None:
    first = (verb.load().__doc__ or "").strip().split("\n")[0]
    assert first == f"{verb.summary}."


@pytest.mark.parametrize(
    "example", [example for verb in VERBS for example in verb.examples], ids=str
)
def test_examples_are_calls_that_parse(example: str) -> None:
    """Each `ti …` of an example is understood by the parser, up to where a command would run."""
    import typer

    for part in example.split(" > ")[0].split(" | "):
        words = shlex.split(part)
        assert words[0] == "ti"
        root = typer.main.get_command(build())
        command = root.commands[words[1]]
        with command.make_context(words[1], words[2:]) as context:
            assert context.params


def test_brackets_survive(run) -> None:
    """Markup would swallow them."""
    assert "[:desc]" in run("list", "--help").out
    assert "<mug>" in run("show", "--help").out


def test_a_call_loads_its_own_command_alone() -> None:
    assert [verb.name for verb in needed(["ls", "-q"])] == ["list"]
    assert needed([]) == needed(["--version"]) == ()
    assert needed(["help", "list"]) == needed(["lst"]) == needed(["--", "list"]) == VERBS


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(run, shell: str) -> None:
    result = run("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert "command ti __complete" in result.out
    assert "concepts" in result.out


def test_complete_answers_and_is_silent_about_trouble(run, library_with, isolated) -> None:
    assert run("__complete", "concepts").out == ""
    library_with("mug", "cat", tags=("b", "a\u202ec"))
    assert run("__complete", "concepts").out == "cat\nmug\n"
    assert run("__complete", "tags").out == "b\n"
    assert run("__complete", "recipes").lines[:3] == ["quick", "default", "thorough"]
    assert "starter" in run("__complete", "models").lines
    for arguments in ((), ("nonsense",), ("concepts", "more")):
        assert run("__complete", *arguments).code == 0
    (isolated / "library.db").write_bytes(b"garbage" * 500)
    (isolated / "config.yaml").write_text("model: [\n")
    for kind in ("concepts", "tags", "models"):
        result = run("__complete", kind)
        assert (result.code, result.out, result.err) == (0, "", "")
