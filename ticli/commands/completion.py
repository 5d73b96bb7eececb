"""`ti completion`: the script that completes `ti` in a shell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer


def completion(
    context: typer.Context,
    shell: Annotated[
        Literal["bash", "zsh", "fish"],
        typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False),
    ],
) -> None:
    """Print the completion script of a shell.

    Write it where the shell looks for completions, then start a new shell:

    \b
    bash  ti completion bash > ~/.local/share/bash-completion/completions/ti
    zsh   ti completion zsh > "${fpath[1]}/_ti"
    fish  ti completion fish > ~/.config/fish/completions/ti.fish
    """
    from ticli.terminal.completion import script, tree

    root: Any = context.parent
    typer.echo(script(shell, tree(root.command)), nl=False)
