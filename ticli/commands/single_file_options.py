"""The flags about models in one file, and how what they leave open is found out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ticli.settings import check_value, load_settings
from ticli.terminal.output import Output

if TYPE_CHECKING:
    from ticli.models.identifying import ModelSource
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


def prediction_finder(
    device: str | None, dtype: str | None, output: Output
) -> Callable[[ModelSource], ModelSource]:
    """What loads a model and tries both readings; each model once in a call."""
    known: dict[str, ModelSource] = {}

    def find(source: ModelSource) -> ModelSource:
        if source.id not in known:
            output.note(f"finding out what {source.describe()} predicts …")
            from ticli.models.hardware import pick_hardware
            from ticli.models.single_files.probing import find_prediction

            settings = load_settings()
            hardware = pick_hardware(
                check_value("device", device or settings["device"]),
                check_value("dtype", dtype or settings["dtype"]),
            )
            known[source.id] = find_prediction(source, hardware, output.note)
        return known[source.id]

    return find
