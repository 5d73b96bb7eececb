"""The committed completion scripts are those the command tree makes, and their shells read them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "completions"
FILES = {"bash": "ti.bash", "zsh": "_ti", "fish": "ti.fish"}


@pytest.mark.parametrize("shell", FILES)
def test_the_committed_script_is_fresh(run, shell: str) -> None:
    result = run("completion", shell)
    assert result.code == 0
    committed = (FOLDER / FILES[shell]).read_text(encoding="utf-8")
    assert result.out == committed, f"ti completion {shell} > completions/{FILES[shell]}"


@pytest.mark.parametrize("shell", FILES)
def test_the_shell_can_read_it(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", FOLDER / FILES[shell]], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_command_and_flag_is_in_every_script() -> None:
    import typer

    from ticli.app import build
    from ticli.terminal import read_tree

    tree = read_tree(typer.main.get_command(build()))
    assert len(tree) > 10
    for name in FILES.values():
        text = (FOLDER / name).read_text(encoding="utf-8")
        for command in tree:
            for word in command.names:
                assert word in text, (name, word)
            for flag in command.flags:
                for option in flag.names:
                    written = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
                    assert (written if name == "ti.fish" else option) in text, (name, option)


def test_zsh_finds_its_mark_on_the_first_line() -> None:
    assert (FOLDER / "_ti").read_text(encoding="utf-8").startswith("#compdef ti\n")
