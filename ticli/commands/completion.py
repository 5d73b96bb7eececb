"""`ti completion`: the script that completes `ti` in a shell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from ticli.commands import options as shared


def completion(
    context: typer.Context,
    shell: Annotated[
        Literal["bash", "zsh", "fish"],
        typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False),
    ],
    json: shared.JsonOption = False,
    quiet: shared.QuietOption = False,
    verbose: shared.VerboseOption = False,
    no_color: shared.NoColorOption = False,
    debug: shared.DebugOption = False,
) -> None:
    """Print the completion script of a shell.

    Write it where the shell looks for completions, then start a new shell:

    \b
    bash  ti completion bash > ~/.local/share/bash-completion/completions/ti
    zsh   ti completion zsh > "${fpath[1]}/_ti"
    fish  ti completion fish > ~/.config/fish/completions/ti.fish
    """
    from ticli.terminal.shells.bash import bash_script
    from ticli.terminal.shells.fish import fish_script
    from ticli.terminal.shells.tree import read_tree
    from ticli.terminal.shells.zsh import zsh_script

    root: Any = context.parent
    scripts = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}
    typer.echo(scripts[shell](read_tree(root.command)), nl=False)
