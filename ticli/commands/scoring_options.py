"""Flags of `ti score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME...",
        help="Concepts, as mug or <mug>, or files of learned words; - reads names from stdin.",
        show_default=False,
    ),
]
PhotosOption = Annotated[
    list[str] | None,
    typer.Option(
        "--photos",
        metavar="PATH",
        help="Photos to compare with, a folder or a file; can be repeated. Kept ones by default.",
        show_default=False,
    ),
]
EncoderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--encoder",
        metavar="ENCODER",
        help="A CLIP or DINO: starter, a folder, or a hub id in the cache; can be repeated.",
        show_default=False,
    ),
]
ClassWordOption = Annotated[
    str,
    typer.Option(
        "--class-word",
        metavar="WORD",
        help="The word to compare with; the concept's noun or init word by default.",
        show_default=False,
    ),
]
PromptsOption = Annotated[
    Path | None,
    typer.Option(
        "--prompts",
        metavar="FILE",
        help="Scenes of your own, one a line, each with {} for the word.",
        show_default=False,
    ),
]
SamplesOption = Annotated[
    int | None,
    typer.Option(
        "--samples", metavar="N", help="Pictures of the plain prompt; 16.", show_default=False
    ),
]
SceneSamplesOption = Annotated[
    int | None,
    typer.Option(
        "--scene-samples",
        metavar="N",
        help="Pictures of each scene; an eighth of --samples.",
        show_default=False,
    ),
]
PlotOption = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Draw image similarity against obedience into a .png or .svg.",
        show_default=False,
    ),
]
SheetOption = Annotated[
    Path | None,
    typer.Option(
        "--sheet",
        metavar="FILE",
        help="Keep a sheet of photos and pictures as a .png; of several words, one each.",
        show_default=False,
    ),
]
DreamBenchOption = Annotated[
    Path | None,
    typer.Option(
        "--dreambench",
        metavar="FOLDER",
        help="A DreamBench folder: score its subjects by the concepts of their names.",
        show_default=False,
    ),
]
NoSaveOption = Annotated[
    bool, typer.Option("--no-save", help="Do not keep the scores with the concept.")
]
