"""Flags of `ti invert` alone: the recipe's knobs, and what becomes of the run."""

from __future__ import annotations

from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ticli.commands import options
from ticli.commands.options import OUTPUT, argument, flag, machine_flag, output_flag
from ticli.recipe import METHOD, Recipe
from ticli.terminal.progress import ProgressMode

TYPES: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool}


def knob_flag(knob: Field[Any]) -> Any:
    """The flag of a knob as an annotation; without it the recipe's own value holds."""
    rules, long = knob.metadata, f"--{knob.name.replace('_', '-')}"
    kind, metavar = TYPES.get(str(knob.type), Path), rules.get("metavar", "N")
    if choices := rules.get("choices"):
        kind, metavar = Literal[choices], rules.get("metavar", "|".join(choices))
    if kind is bool:
        metavar = None
        if not rules.get("switch"):
            long = f"{long}/--no-{long.removeprefix('--')}"
    option = flag(long, metavar=metavar, help=rules["help"], rich_help_panel=rules["group"])
    return Annotated[kind | None, option]


# A command gets a flag for every knob, and all their values as one dict, None where none was given.
KNOBS = options.flags_of({knob.name: knob_flag(knob) for knob in fields(Recipe)}, None)
with_knobs = options.with_flags("knobs", KNOBS, dict, in_place=True)

PhotosArgument = Annotated[
    list[str] | None,
    argument(metavar="PHOTOS...", help="A folder, files, or - for paths on stdin."),
]
NewTokenOption = Annotated[
    list[str] | None,
    flag(
        "--token",
        "-t",
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
    bool,
    output_flag("--keep-photos", help="Keep copies of the photos in the library."),
]
TogetherOption = Annotated[
    int | None,
    machine_flag(
        "--together",
        metavar="N",
        min=1,
        help="Concepts that learn at a time; all that fit.",
    ),
]
LowMemoryOption = Annotated[
    bool,
    machine_flag("--low-memory", help="Begin as on a card of 4 to 6 GB, more slowly."),
]
DeterministicOption = Annotated[
    bool,
    machine_flag("--deterministic", help="Equal bits on CUDA too, more slowly."),
]
ProgressOption = Annotated[
    ProgressMode,
    typer.Option("--progress", help="How progress is shown on stderr.", rich_help_panel=OUTPUT),
]
