"""Flags of `ti invert` alone: the recipe's knobs, and what becomes of the run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import Field, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ticli.commands.options import argument, flag, machine_flag, output_flag
from ticli.recipe import METHOD, Recipe

TYPES: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool}


def knob_parameter(knob: Field[Any]) -> inspect.Parameter:
    """The flag of a knob as a parameter of a command; without it the recipe's own value holds."""
    rules, long = knob.metadata, f"--{knob.name.replace('_', '-')}"
    kind, metavar = TYPES.get(str(knob.type), Path), rules.get("metavar", "N")
    if choices := rules.get("choices"):
        kind, metavar = Literal[choices], rules.get("metavar", "|".join(choices))
    if kind is bool:
        metavar = None
        if not rules.get("switch"):
            long = f"{long}/--no-{long.removeprefix('--')}"
    option = flag(long, metavar=metavar, help=rules["help"], rich_help_panel=rules["group"])
    return inspect.Parameter(
        knob.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def with_knobs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a flag for every knob, in the place of its parameter `knobs`.

    The command gets the knobs that were given as one dict.
    """
    own = inspect.signature(command, eval_str=True).parameters
    knobs = {knob.name: knob_parameter(knob) for knob in fields(Recipe)}

    @wraps(command)
    def called(**given: Any) -> None:
        settled = {name: given.pop(name) for name in knobs}
        command(**given, knobs=settled)

    parameters = list(own.values())
    place = list(own).index("knobs")
    parameters[place : place + 1] = knobs.values()
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
    return called


PhotosArgument = Annotated[
    list[str] | None,
    argument(metavar="PHOTOS...", help="A folder, files, or - for paths on stdin."),
]
NewTokenOption = Annotated[
    list[str] | None,
    flag(
        *("--token", "-t"),
        metavar="TOKEN",
        help='The new token, as "<mug>" or mug; for several, mug=PHOTOS each time.',
    ),
]
ManifestOption = Annotated[
    str | None,
    flag("--manifest", metavar="FILE", help="Concepts and their photos in a file; - reads stdin."),
]
RecipeOption = Annotated[
    str | None,
    flag("--recipe", metavar="NAME|FILE", help="quick, default, thorough …, or a YAML file."),
]
NoNounOption = Annotated[
    bool, flag("--no-noun", help="No class word beside the token.", rich_help_panel=METHOD)
]
RunSeedOption = Annotated[
    int, typer.Option("--seed", metavar="N", help="Seed of all draws.", rich_help_panel=METHOD)
]
FreshOption = Annotated[
    bool, flag("--fresh", help="Start over; without it, the same call resumes a stopped run.")
]
PreviewEveryOption = Annotated[
    int, output_flag("--preview-every", metavar="N", min=0, help="Write a picture every N steps.")
]
PreviewOption = Annotated[
    str, output_flag("--preview", metavar="PROMPT", help="What it shows; {} is the token.")
]
KeepPhotosOption = Annotated[
    bool, output_flag("--keep-photos", help="Keep copies of the photos in the library.")
]
TogetherOption = Annotated[
    int | None,
    machine_flag(
        "--together", metavar="N", min=1, help="Concepts that learn at a time; all that fit."
    ),
]
LowMemoryOption = Annotated[
    bool, machine_flag("--low-memory", help="Begin as on a card of 4 to 6 GB, more slowly.")
]
DeterministicOption = Annotated[
    bool, machine_flag("--deterministic", help="Equal bits on CUDA too, more slowly.")
]
