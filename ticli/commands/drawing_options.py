"""Flags that say how pictures are drawn."""

from __future__ import annotations

from typing import Annotated

import typer

PromptArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="PROMPT",
        help='What to draw, with tokens as "<mug>"; - or nothing reads one prompt a line.',
        show_default=False,
    ),
]
CountOption = Annotated[
    int, typer.Option("--count", "-n", metavar="N", min=1, help="Pictures of each prompt.")
]
OutputOption = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|DIR|-",
        help="Where pictures go; - writes one to stdout.",
        show_default=False,
    ),
]
StepsOption = Annotated[
    int | None,
    typer.Option("--steps", metavar="N", help="Denoising steps.", show_default=False),
]
GuidanceOption = Annotated[
    float | None,
    typer.Option(
        "--guidance", metavar="X", help="How strictly the prompt is obeyed.", show_default=False
    ),
]
SizeOption = Annotated[
    str,
    typer.Option(
        "--size",
        metavar="N|WxH",
        help="Pixels, in multiples of 8; the model's own by default.",
        show_default=False,
    ),
]
NegativeOption = Annotated[
    str,
    typer.Option(
        "--negative", metavar="TEXT", help="What the picture should not show.", show_default=False
    ),
]
SamplerOption = Annotated[
    str,
    typer.Option(
        "--sampler",
        metavar="NAME",
        help="ddim, ddpm, dpm++, dpm++-karras, euler, euler-a, heun, pndm or unipc.",
        show_default=False,
    ),
]
DrawingSeedOption = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        help="Picture i is drawn from seed N + i; fresh by default.",
        show_default=False,
    ),
]
GridOption = Annotated[
    bool, typer.Option("--grid", help="Add one last picture that shows all of them.")
]
NoNounOption = Annotated[
    bool, typer.Option("--no-noun", help="Do not put a concept's noun after its token.")
]
StrictBaseOption = Annotated[
    bool,
    typer.Option("--strict-base", help="Refuse a concept that was learned on another model."),
]
AnyNormOption = Annotated[
    bool, typer.Option("--any-norm", help="Use a word whose vectors are far too long all the same.")
]
# -n is --count here, so this flag has its long name only.
LongDryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be drawn, load no model.")
]
