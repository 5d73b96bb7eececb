"""The flags about models in one file, and what they say together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from ticli.models.single_files.single_file import Given

ComponentsOption = Annotated[
    Path | None,
    typer.Option(
        "--components",
        metavar="DIR",
        help="A diffusers folder that has what a model in one file lacks.",
        show_default=False,
    ),
]
PredictionOption = Annotated[
    Literal["epsilon", "v"] | None,
    typer.Option(
        "--prediction",
        help="What a model in one file predicts: the noise (epsilon) or the velocity (v).",
        show_default=False,
    ),
]


def given_of(components: Path | None, prediction: str | None) -> Given:
    """What both flags say."""
    from ticli.models.single_files.single_file import FLAG, PREDICTIONS, Given

    folder = components.expanduser() if components is not None else None
    if prediction is None:
        return Given(folder)
    return Given(folder, PREDICTIONS[prediction], FLAG)
