"""The command table: every verb with its group and the examples that end its help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer

from ticli import __version__
from ticli.commands.completion import completion
from ticli.commands.config import config
from ticli.commands.export import export
from ticli.commands.generate import generate
from ticli.commands.help import help_command
from ticli.commands.import_ import import_files
from ticli.commands.invert import invert
from ticli.commands.list import list_concepts
from ticli.commands.merge import merge
from ticli.commands.models import models
from ticli.commands.rename import rename
from ticli.commands.rm import rm
from ticli.commands.search import search
from ticli.commands.show import show
from ticli.commands.tag import tag

LEARN, USE, LIBRARY, COMBINE, SHARE, UPKEEP = (
    "Learn",
    "Use",
    "Library",
    "Combine",
    "Share",
    "Upkeep",
)


@dataclass(frozen=True)
class Verb:
    """One command: its name, where the overview lists it, its function, its examples."""

    name: str
    group: str
    run: Callable[..., None]
    examples: tuple[str, ...]
    aliases: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The first line of the command's help."""
        return (self.run.__doc__ or "").strip().split("\n")[0].rstrip(".")


VERBS = (
    Verb(
        "invert",
        LEARN,
        invert,
        (
            'ti invert examples/mug --token "<mug>"',
            'ti invert paintings/ --token "<haze>" --kind style --recipe thorough',
        ),
    ),
    Verb(
        "generate",
        USE,
        generate,
        (
            'ti generate "a photo of <mug> on the moon"',
            'ti generate "an oil painting of <mug>" -n 4 --grid -o pictures/',
        ),
    ),
    Verb("list", LIBRARY, list_concepts, ("ti list", "ti list -q --tag kitchen"), ("ls",)),
    Verb("show", LIBRARY, show, ("ti show mug", "ti show mug --field token")),
    Verb("rm", LIBRARY, rm, ("ti rm mug", "ti list -q --tag draft | ti rm --yes -")),
    Verb("rename", LIBRARY, rename, ("ti rename mug cup",)),
    Verb("tag", LIBRARY, tag, ('ti tag mug --add kitchen --note "blue, with a chip"',)),
    Verb("search", LIBRARY, search, ("ti search kitchen",)),
    Verb(
        "merge",
        COMBINE,
        merge,
        (
            'ti merge mug:0.7 teapot:0.3 --token "<mugpot>"',
            'ti merge mug teapot --method concat --token "<both>"',
        ),
    ),
    Verb("export", SHARE, export, ("ti export mug", "ti export mug -o - > mug.safetensors")),
    Verb(
        "import",
        SHARE,
        import_files,
        ("ti import mug.safetensors", 'ti import learned_embeds.safetensors --token "<cat>"'),
    ),
    Verb("models", UPKEEP, models, ("ti models",)),
    Verb("config", UPKEEP, config, ("ti config list", "ti config set device cpu")),
    Verb("completion", UPKEEP, completion, ("ti completion bash > ti.bash",)),
    Verb("help", UPKEEP, help_command, ("ti help merge",)),
)


def build() -> typer.Typer:
    """Build the Typer app from the table."""
    built = typer.Typer(
        name="ti",
        # Markup would swallow brackets in help texts, and rich doubles the time help takes.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        add_help_option=False,
    )
    built.callback(invoke_without_command=True)(_root)
    for verb in VERBS:
        epilog = "\b\nExample:\n" + "\n".join(f"  {example}" for example in verb.examples)
        for name in (verb.name, *verb.aliases):
            built.command(
                name,
                epilog=epilog,
                hidden=name != verb.name,
                context_settings={"help_option_names": ["-h", "--help"]},
            )(verb.run)
    return built


def _groups() -> dict[str, list[tuple[str, str]]]:
    groups: dict[str, list[tuple[str, str]]] = {}
    for verb in VERBS:
        groups.setdefault(verb.group, []).append((verb.name, verb.summary))
    return groups


def _show_overview(wanted: bool) -> None:
    if wanted:
        from ticli.terminal.overview import overview

        typer.echo(overview(_groups()), nl=False)
        raise typer.Exit


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ti {__version__}")
        raise typer.Exit


def _root(
    context: typer.Context,
    help: Annotated[
        bool,
        typer.Option(
            "--help", "-h", help="Show the commands.", is_eager=True, callback=_show_overview
        ),
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Show the version.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    """Teach a text-to-image model a new word, keep it, use it."""
    if context.invoked_subcommand is None:
        _show_overview(True)


app = build()
