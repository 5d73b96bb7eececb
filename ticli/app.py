"""The table of commands, the overview of them, and the parser that typer builds of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ticli import __version__

HEAD = """\
Usage: ti [-h] [-V] COMMAND [ARGUMENTS]

Teach a text-to-image model something new from a few photos, keep it in a
library, and use it in prompts.

Examples:
  ti invert examples/mug --token "<mug>"     learn <mug> from five photos
  ti generate "a photo of <mug> on the moon" make a picture with it
  ti list                                    see what the library holds
"""
FOOT = """\
ti help COMMAND explains a command; every command ends its help with an example.
Quote tokens: to a shell, < and > mean files. Elsewhere the bare name will do: mug.
"""


@dataclass(frozen=True)
class Verb:
    """One command: its name, what it does, the examples that end its help.

    `function` stands in ticli.commands as "module:function", by default both called as the verb.
    `sees_all` marks a command that looks at the others.
    """

    name: str
    summary: str
    examples: tuple[str, ...]
    function: str = ""
    aliases: tuple[str, ...] = ()
    sees_all: bool = False

    def load(self) -> Callable[..., Any]:
        """Import the command's function."""
        module, name = (self.function or f"{self.name}:{self.name}").split(":")
        found: Callable[..., Any] = getattr(import_module(f"ticli.commands.{module}"), name)
        return found


# By the headings of the overview.
GROUPS = {
    "Learn": [
        Verb(
            "invert",
            "Learn a concept from photos",
            (
                'ti invert examples/mug --token "<mug>"',
                'ti invert paintings/ --token "<haze>" --kind style --recipe thorough',
                "ti invert --manifest concepts.tsv",
            ),
        ),
    ],
    "Use": [
        Verb(
            "generate",
            "Make pictures from a prompt",
            (
                'ti generate "a photo of <mug> on the moon"',
                'ti generate "an oil painting of <mug>" -n 4 --grid -o pictures/',
            ),
        ),
        Verb(
            "score",
            "Measure likeness and obedience of concepts",
            ("ti score mug --photos examples/mug", "ti score mug cup --plot tradeoff.png"),
        ),
    ],
    "Library": [
        Verb(
            "list",
            "List the concepts of the library",
            ("ti list", "ti list -q --tag kitchen"),
            function="list:list_concepts",
            aliases=("ls",),
        ),
        Verb(
            "show", "Show what is known of a concept", ("ti show mug", "ti show mug --field token")
        ),
        Verb(
            "rm",
            "Remove concepts and unfinished runs",
            ("ti rm mug", "ti list -q --tag draft | ti rm --yes -"),
        ),
        Verb("rename", "Give a concept another name and token", ("ti rename mug cup",)),
        Verb(
            "tag",
            "Change the tags and notes of a concept",
            ('ti tag mug --add kitchen --note "blue, with a chip"',),
        ),
        Verb("search", "Search the library", ("ti search kitchen",)),
    ],
    "Combine": [
        Verb(
            "merge",
            "Combine concepts into a new one",
            (
                'ti merge mug:0.7 teapot:0.3 --token "<mugpot>"',
                'ti merge mug teapot --method concat --token "<both>"',
            ),
        ),
    ],
    "Share": [
        Verb(
            "export",
            "Write concepts to files for other programs",
            ("ti export mug --for comfyui", "ti export mug -o - > mug.safetensors"),
        ),
        Verb(
            "import",
            "Import concepts from files",
            ("ti import mug.safetensors", 'ti import learned_embeds.safetensors --token "<cat>"'),
            function="import_:import_files",
        ),
        Verb(
            "inspect",
            "Say what files are and which concepts they hold",
            ("ti inspect learned_embeds.bin", "ti inspect --json mug.pt"),
        ),
    ],
    "Upkeep": [
        Verb(
            "doctor",
            "Find what is wrong and say what puts it right",
            ("ti doctor", "ti doctor --rebuild"),
        ),
        Verb(
            "prune", "Remove what nothing needs any more", ("ti prune", "ti prune --dry-run --all")
        ),
        Verb(
            "backup",
            "Write the whole library to one file",
            ("ti backup library.zip", "ti backup - > library.zip"),
        ),
        Verb(
            "restore",
            "Bring a library back from a backup",
            ("ti restore library.zip", "ti restore --merge other.zip"),
        ),
        Verb(
            "models",
            "List, show, name and fetch models",
            ("ti models", "ti models show starter", "ti models add sd15 ~/models/sd15"),
        ),
        Verb("config", "Show and change settings", ("ti config list", "ti config set device cpu")),
        Verb(
            "completion",
            "Print the completion script of a shell",
            ("ti completion bash > ti.bash",),
            sees_all=True,
        ),
        Verb(
            "help",
            "Explain a command",
            ("ti help merge",),
            function="help:help_command",
            sees_all=True,
        ),
    ],
}
VERBS = tuple(verb for verbs in GROUPS.values() for verb in verbs)


class GroupedCommand(TyperCommand):
    """A command whose page lists flags under headings: what everyone needs first, the rare last."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each heading."""
        from ticli.commands.options import MACHINE, OUTPUT
        from ticli.recipe import DATA, FIRST, METHOD, RARE, STOPPING

        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                plain = "Arguments" if parameter.param_type_name == "argument" else FIRST
                heading = getattr(parameter, "rich_help_panel", None) or plain
                groups.setdefault(heading, []).append(record)
        order = ("Arguments", FIRST, METHOD, DATA, STOPPING, OUTPUT, MACHINE, RARE)
        for heading in dict.fromkeys((*order, *groups)):
            if heading in groups:
                with formatter.section(heading):
                    formatter.write_dl(groups[heading], col_max=26)


def needed(arguments: Sequence[str]) -> Sequence[Verb]:
    """Return the verbs a call can come to: loading all would double the time of `ti list`."""
    first = arguments[0] if arguments else "--help"
    if first.startswith("-") and first != "--":
        return ()
    called = [verb for verb in VERBS if first in (verb.name, *verb.aliases)]
    return called if called and not called[0].sees_all else VERBS


def build(verbs: Sequence[Verb] = VERBS) -> typer.Typer:
    """Build the Typer app of these verbs."""
    built = typer.Typer(
        name="ti",
        # Markup would swallow brackets in help texts, and rich doubles the time help takes.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        add_help_option=False,
    )
    built.callback(invoke_without_command=True)(_root)
    for verb in verbs:
        heading = "Example" if len(verb.examples) == 1 else "Examples"
        epilog = f"\b\n{heading}:\n" + "\n".join(f"  {example}" for example in verb.examples)
        for name in (verb.name, *verb.aliases):
            built.command(
                name,
                cls=GroupedCommand,
                epilog=epilog,
                hidden=name != verb.name,
                context_settings={"help_option_names": ["-h", "--help"]},
            )(verb.load())
    return built


def _show_overview(wanted: bool) -> None:
    if wanted:
        width = max(len(verb.name) for verb in VERBS)
        blocks = [HEAD]
        for group, verbs in GROUPS.items():
            rows = [f"  {verb.name:<{width}}  {verb.summary}\n" for verb in verbs]
            blocks.append("".join([f"{group}:\n", *rows]))
        typer.echo("\n".join([*blocks, FOOT]), nl=False)
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
    """Teach a text-to-image model something new, keep it, use it."""
    if context.invoked_subcommand is None:
        _show_overview(True)
