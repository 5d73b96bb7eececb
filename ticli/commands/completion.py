"""`ti completion`: the script that completes `ti` in a shell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from ticli.commands import options


def completion(
    context: typer.Context,
    shell: Annotated[
        Literal["bash", "zsh", "fish"],
        typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False),
    ],
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
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
