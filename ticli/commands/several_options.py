"""Flags of `ti invert` for several words."""

from __future__ import annotations

from typing import Annotated

import typer

from ticli.commands.learning_options import knob

ManifestOption = Annotated[
    str | None,
    knob("--manifest", "Words and their photos in a file; - reads stdin.", "FILE"),
]
TogetherOption = Annotated[
    int | None,
    typer.Option(
        "--together",
        metavar="N",
        min=1,
        help="Words that learn at a time; as many as pay and fit by default.",
        show_default=False,
    ),
]
