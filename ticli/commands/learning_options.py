"""Flags of `ti invert` alone: the recipe's knobs and what becomes of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def knob(flag: str, help: str, metavar: str = "N") -> typer.models.OptionInfo:
    """A flag for a knob of the recipe; without it the recipe's own value holds."""
    option: typer.models.OptionInfo = typer.Option(
        flag, metavar=metavar, help=help, show_default=False
    )
    return option


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
        help='The new word, as "<mug>" or mug; for several, mug=PHOTOS each time.',
        show_default=False,
    ),
]
RecipeOption = Annotated[
    str | None, knob("--recipe", "quick, default, thorough …, or a YAML file.", "NAME|FILE")
]
KindOption = Annotated[
    Literal["object", "style", "person"] | None, knob("--kind", "What the photos show.", "KIND")
]
InitOption = Annotated[
    str | None,
    knob("--init", 'Start from WORDS, "<concept>", random, mean or auto.', "WORDS"),
]
NounOption = Annotated[
    str | None, knob("--noun", "Class word beside the token; the init word by default.", "WORD")
]
NoNounOption = Annotated[bool, typer.Option("--no-noun", help="No class word beside the token.")]
VectorsOption = Annotated[int | None, knob("--vectors", "Vectors of the word.")]
StepsOption = Annotated[int | None, knob("--steps", "Optimiser steps.")]
RateOption = Annotated[float | None, knob("--lr", "Learning rate, never scaled.", "RATE")]
BatchOption = Annotated[int | None, knob("--batch", "Pictures a batch.")]
AccumulateOption = Annotated[int | None, knob("--accumulate", "Batches a step.")]
SizeOption = Annotated[int | None, knob("--size", "Pixels a side; the model's own by default.")]
FlipOption = Annotated[
    bool | None,
    typer.Option("--flip/--no-flip", help="Mirror photos at random.", show_default=False),
]
ScheduleOption = Annotated[
    Literal["constant", "cosine", "linear", "trapezoid"] | None,
    knob("--schedule", "Learning rate: constant, cosine, linear, trapezoid.", "LAW"),
]
WarmupOption = Annotated[int | None, knob("--warmup", "Steps until the full learning rate.")]
ClipOption = Annotated[
    float | None, knob("--clip", "Largest norm of a gradient; 0 is no limit.", "NORM")
]
TimestepLowOption = Annotated[
    int | None, knob("--timestep-low", "Least noise trained on, of 1000; -1 goes by --kind.")
]
TimestepHighOption = Annotated[
    int | None, knob("--timestep-high", "Most noise trained on, of 1000.")
]
SentencesOption = Annotated[
    Path | None, knob("--sentences", "Own training sentences, one a line with {}.", "FILE")
]
CaptionsOption = Annotated[
    bool | None,
    typer.Option("--captions", help="Use PHOTO.txt beside each photo.", show_default=False),
]
StrictCaptionsOption = Annotated[
    bool | None,
    typer.Option(
        "--strict-captions", help="Refuse a caption without the token.", show_default=False
    ),
]
RunSeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of all draws.")]
PreviewEveryOption = Annotated[
    int,
    typer.Option(
        "--preview-every", metavar="N", min=0, help="Write a picture every N steps; 0 is none."
    ),
]
PreviewOption = Annotated[
    str,
    typer.Option("--preview", metavar="PROMPT", help="What a preview shows; {} is the token."),
]
KeepPhotosOption = Annotated[
    bool, typer.Option("--keep-photos", help="Keep copies of the photos in the library.")
]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="Throw an unfinished run of this name away.")
]
LowMemoryOption = Annotated[
    bool, typer.Option("--low-memory", help="Begin as on a card of 4 to 6 GB, more slowly.")
]
DeterministicOption = Annotated[
    bool, typer.Option("--deterministic", help="Equal bits on CUDA too, more slowly.")
]
