"""Completion as it happens: the key pressed in the shell itself."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

COMPLETIONS = Path(__file__).parents[2] / "completions"


def needs(shell: str):
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


@pytest.fixture
def library(library_with):
    library_with("mug", "mug-blue", tags=("kitchen",))
    library_with("cat", tags=("$(touch pwned)", "two words"))


@pytest.fixture
def bash() -> Callable[..., list[str]]:
    """What bash would offer for the last of these words: bash("show", "m") → ["mug"]."""
    script = f"""
source {COMPLETIONS}/ti.bash
COMP_WORDS=(ti "$@") COMP_CWORD=$#
_ti
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

    def offers(*words: str) -> list[str]:
        done = subprocess.run(
            ["bash", "--norc", "-c", script, "bash", *words], capture_output=True, text=True
        )
        assert done.stderr == ""
        return [line for line in done.stdout.splitlines() if line]

    return offers


@needs("bash")
def test_bash_offers_commands_and_flags(bash, library) -> None:
    assert bash("li") == ["list"]
    assert {"invert", "generate", "list", "ls", "help"} <= set(bash(""))
    assert bash("list", "--un") == ["--unfinished"]
    assert bash("merge", "--method", "") == ["mean", "slerp", "concat"]
    assert bash("merge", "--method", "=", "sl") == ["slerp"]
    assert bash("config", "get", "dev") == ["device"]
    assert bash("help", "exp") == ["export"]


@needs("bash")
def test_bash_offers_bare_names_wherever_a_concept_is_meant(bash, library) -> None:
    assert bash("show", "") == ["cat", "mug", "mug-blue"]
    assert bash("show", "mu") == ["mug", "mug-blue"]
    assert bash("rm", "-y", "mug", "c") == ["cat"]
    assert bash("merge", "cat", "mug-") == ["mug-blue"]
    assert bash("rename", "c") == ["cat"]
    assert bash("rename", "cat", "c") == []
    assert bash("list", "--tag", "kit") == ["kitchen"]
    assert bash("generate", "-m", "st") == ["starter"]


@needs("bash")
def test_bash_never_runs_what_a_tag_says(bash, library) -> None:
    offered = bash("list", "--tag", "")
    assert "two\\ words" in offered
    assert "\\$\\(touch\\ pwned\\)" in offered
    assert not Path("pwned").exists()


@needs("bash")
def test_bash_offers_nothing_without_a_library(bash) -> None:
    assert bash("show", "") == []


@needs("bash")
def test_bash_completes_at_the_key(terminal, library) -> None:
    typed = terminal("bash", "--norc", "--noprofile", "-i", PS1="$ ")
    typed.wait_for("$ ")
    typed.send(
        f"bind 'set enable-bracketed-paste off'; source {COMPLETIONS}/ti.bash; echo re''ady\n"
    )
    typed.wait_for("ready")
    typed.send("ti sh\tca\t--fi\ttoken\n")
    typed.wait_for("<cat>")
    typed.send("exit\n")
    typed.finish()
    assert "ti show cat --field token" in typed.shown


@needs("fish")
def test_fish_offers_the_same(library) -> None:
    def fish(line: str) -> list[str]:
        script = f"source {COMPLETIONS}/ti.fish; complete -C {line!r}"
        done = subprocess.run(["fish", "-N", "-c", script], capture_output=True, text=True)
        assert done.stderr == ""
        return [row.split("\t")[0] for row in done.stdout.splitlines()]

    assert {"invert", "list", "ls"} <= set(fish("ti "))
    assert fish("ti show m") == ["mug", "mug-blue"]
    assert fish("ti list --unf") == ["--unfinished"]
    assert fish("ti merge --method s") == ["slerp"]
    assert fish("ti list --tag k") == ["kitchen"]
    assert fish("ti rename cat m") == []
    assert "--tag" not in fish("ti help list --t")


@needs("zsh")
def test_zsh_completes_at_the_key(terminal, library) -> None:
    typed = terminal("zsh", "-f", "-i", PS1="$ ", ZDOTDIR="/nonexistent")
    typed.wait_for("$ ")
    typed.send(f"autoload -U compinit; compinit -D -u; source {COMPLETIONS}/_ti; echo re''ady\n")
    typed.wait_for("\nready")
    typed.send("ti sh\tca\t--fi\ttoken\n")
    typed.wait_for("<cat>")
    typed.send("exit\n")
    typed.finish()
