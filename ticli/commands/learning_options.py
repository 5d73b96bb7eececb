"""Flags of `ti invert` alone: the recipe's knobs, and what becomes of the run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import Field, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ticli.commands.options import MACHINE, OUTPUT
from ticli.recipe import METHOD, Recipe

TYPES: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool}


def knob_parameter(knob: Field[Any]) -> inspect.Parameter:
    """The flag of a knob as a parameter of a command; without it the recipe's own value holds."""
    rules, flag = knob.metadata, f"--{knob.name.replace('_', '-')}"
    kind, metavar = TYPES.get(str(knob.type), Path), rules.get("metavar", "N")
    if choices := rules.get("choices"):
        kind, metavar = Literal[choices], rules.get("metavar", "|".join(choices))
    if kind is bool:
        metavar = None
        if not rules.get("switch"):
            flag = f"{flag}/--no-{flag.removeprefix('--')}"
    option = typer.Option(
        flag,
        metavar=metavar,
        help=rules["help"],
        show_default=False,
        rich_help_panel=rules["group"],
    )
    return inspect.Parameter(
        knob.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def with_knobs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a flag for every knob; it gets those that were given as one dict, `knobs`.

    The flags stand where the command has `knobs`, and on its page by group, the rare ones last.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    knobs = {knob.name: knob_parameter(knob) for knob in fields(Recipe)}

    @wraps(command)
    def called(**given: Any) -> None:
        settled = {name: given.pop(name) for name in knobs}
        command(**given, knobs=settled)

    parameters = [parameter for parameter in own if parameter.name != "knobs"] + [*knobs.values()]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
    return called


PhotosArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PHOTOS...", help="A folder, files, or - for paths on stdin.", show_default=False
    ),
]
NewTokenOption = Annotated[
    list[str] | None,
    typer.Option(
        "--token",
        "-t",
        metavar="TOKEN",
        help='The new token, as "<mug>" or mug; for several, mug=PHOTOS each time.',
        show_default=False,
    ),
]
ManifestOption = Annotated[
    str | None,
    typer.Option(
        "--manifest",
        metavar="FILE",
        help="Concepts and their photos in a file; - reads stdin.",
        show_default=False,
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE",
        help="quick, default, thorough …, or a YAML file.",
        show_default=False,
    ),
]
NoNounOption = Annotated[
    bool,
    typer.Option("--no-noun", help="No class word beside the token.", rich_help_panel=METHOD),
]
RunSeedOption = Annotated[
    int, typer.Option("--seed", metavar="N", help="Seed of all draws.", rich_help_panel=METHOD)
]
FreshOption = Annotated[
    bool,
    typer.Option("--fresh", help="Start over; without it, the same call resumes a stopped run."),
]
PreviewEveryOption = Annotated[
    int,
    typer.Option(
        "--preview-every",
        metavar="N",
        min=0,
        help="Write a picture every N steps; 0: none.",
        rich_help_panel=OUTPUT,
    ),
]
PreviewOption = Annotated[
    str,
    typer.Option(
        "--preview",
        metavar="PROMPT",
        help="What a preview shows; {} is the token.",
        rich_help_panel=OUTPUT,
    ),
]
KeepPhotosOption = Annotated[
    bool,
    typer.Option(
        "--keep-photos", help="Keep copies of the photos in the library.", rich_help_panel=OUTPUT
    ),
]
TogetherOption = Annotated[
    int | None,
    typer.Option(
        "--together",
        metavar="N",
        min=1,
        help="Most concepts that learn at a time; by default as many as fit.",
        show_default=False,
        rich_help_panel=MACHINE,
    ),
]
LowMemoryOption = Annotated[
    bool,
    typer.Option(
        "--low-memory",
        help="Begin as on a card of 4 to 6 GB, more slowly.",
        rich_help_panel=MACHINE,
    ),
]
DeterministicOption = Annotated[
    bool,
    typer.Option(
        "--deterministic", help="Equal bits on CUDA too, more slowly.", rich_help_panel=MACHINE
    ),
]
