"""`ti completion`: the script that completes `ti` in a shell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from ticli.commands import options
from ticli.terminal.output import Output


@options.with_output
def completion(
    output: Output,
    context: typer.Context,
    shell: Annotated[
        Literal["bash", "zsh", "fish"],
        options.argument(metavar="SHELL", help="bash, zsh or fish."),
    ],
) -> None:
    """Print the completion script of a shell.

    Write it where the shell looks for completions, then start a new shell:

    \b
    bash  ti completion bash > ~/.local/share/bash-completion/completions/ti
    zsh   ti completion zsh > "${fpath[1]}/_ti"
    fish  ti completion fish > ~/.config/fish/completions/ti.fish
    """
    from ticli.terminal.shell_completions import bash_script, fish_script, read_tree, zsh_script

    root: Any = context.parent
    scripts = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}
    typer.echo(scripts[shell](read_tree(root.command)), nl=False)
