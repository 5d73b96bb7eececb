"""Flags that mean the same in every command."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ticli.recipe import RARE
from ticli.terminal.output import open_output

# Headings under which help pages list flags; others are listed first.
OUTPUT, MACHINE = "Output", "Machine"
# Help pages show no default where the text tells it or there is none.
argument = partial(typer.Argument, show_default=False)
flag = partial(typer.Option, show_default=False)
output_flag = partial(flag, rich_help_panel=OUTPUT)
machine_flag = partial(flag, rich_help_panel=MACHINE)
rare_flag = partial(flag, rich_help_panel=RARE)

JsonOption = Annotated[bool, output_flag("--json", help="One JSON document on stdout.")]
QuietOption = Annotated[
    bool, output_flag("--quiet", "-q", help="Only the result: names or paths, one a line.")
]
VerboseOption = Annotated[bool, output_flag("--verbose", "-v", help="More detail on stderr.")]
NoColorOption = Annotated[bool, output_flag("--no-color", help="No colours, as with NO_COLOR.")]
DebugOption = Annotated[
    bool, output_flag("--debug", help="Show where an error happened, as with TI_DEBUG=1.")
]
OUTPUT_FLAGS = {
    "json": JsonOption,
    "quiet": QuietOption,
    "verbose": VerboseOption,
    "no_color": NoColorOption,
    "debug": DebugOption,
}


def with_output(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags that every command has; its `output` speaks as they say."""
    own = signature(command, eval_str=True).parameters.values()
    parameters = [parameter for parameter in own if parameter.name != "output"]
    for name, annotation in OUTPUT_FLAGS.items():
        kind = Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(Parameter(name, kind, default=False, annotation=annotation))

    @wraps(command)
    def called(**given: Any) -> None:
        output = open_output(**{name: given.pop(name) for name in OUTPUT_FLAGS})
        command(output=output, **given)

    called.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
    return called


# An argument `names`: of one concept, or of several.
NAME = argument(metavar="NAME", help="A concept, as mug or <mug>.")
NAMES = argument(metavar="NAME...", help="Concepts, as mug or <mug>; - reads names from stdin.")
NameArgument = Annotated[str, NAME]

YesOption = Annotated[bool, flag("--yes", "-y", help="Answer yes to the question.")]
DryRunOption = Annotated[
    bool, flag("--dry-run", "-n", help="Say what would happen, change nothing.")
]
ForceOption = Annotated[bool, flag("--force", help="Overwrite existing files.")]
ReplaceOption = Annotated[bool, flag("--replace", help="Replace the concept of that name.")]

ModelOption = Annotated[
    str | None,
    flag(
        "--model",
        "-m",
        metavar="MODEL",
        help="starter, a short name, a folder, a .safetensors file, or a hub id (TI_MODEL).",
    ),
]
DeviceOption = Annotated[
    str | None,
    flag("--device", metavar="DEVICE", help="auto, cuda, cuda:N, mps or cpu (TI_DEVICE)."),
]
DtypeOption = Annotated[
    Literal["auto", "fp32", "fp16", "bf16"] | None,
    machine_flag("--dtype", help="Precision of the model (TI_DTYPE)."),
]
OfflineOption = Annotated[
    bool, machine_flag("--offline", help="Stay off the network (TI_OFFLINE, HF_HUB_OFFLINE).")
]
ProgressOption = Annotated[
    Literal["auto", "plain", "jsonl", "none"],
    typer.Option("--progress", help="How progress is shown on stderr.", rich_help_panel=OUTPUT),
]
ComponentsOption = Annotated[
    Path | None,
    rare_flag(
        "--components",
        metavar="DIR",
        help="A diffusers folder that has what a model in one file lacks.",
    ),
]
PredictionOption = Annotated[
    Literal["epsilon", "v"] | None,
    rare_flag(
        "--prediction",
        help="What a model in one file predicts: the noise (epsilon) or the velocity (v).",
    ),
]

# Which concepts are listed.
TagOption = Annotated[
    list[str] | None,
    flag("--tag", metavar="TAG", help="Only concepts with this tag; more tags must all be there."),
]
BaseOption = Annotated[
    str,
    flag("--base", metavar="BASE", help="Only concepts of this model or family, as in sd1."),
]
KindOption = Annotated[
    str,
    flag("--kind", metavar="KIND", help="Only concepts of this kind: object, style or person."),
]
SinceOption = Annotated[
    str,
    flag(
        "--since",
        metavar="WHEN",
        help="Only concepts made since: 2026-01-31, or an age as in 90min, 12h, 7d or 2w.",
    ),
]
LimitOption = Annotated[int | None, flag("--limit", metavar="N", min=0, help="At most N rows.")]

# How pictures are drawn.
StepsOption = Annotated[int | None, flag("--steps", metavar="N", help="Denoising steps.")]
GuidanceOption = Annotated[
    float | None, flag("--guidance", metavar="X", help="How strictly the prompt is obeyed.")
]
SizeOption = Annotated[
    str,
    flag(
        "--size",
        metavar="N|WxH",
        help="Pixels, in multiples of 8; the model's own by default.",
    ),
]
SamplerOption = Annotated[
    str,
    flag(
        "--sampler",
        metavar="NAME",
        help="ddim, ddpm, dpm++, dpm++-karras, euler, euler-a, heun, pndm or unipc.",
    ),
]
NoNounOption = Annotated[
    bool, flag("--no-noun", help="Do not put a concept's noun after its token.")
]
StrictBaseOption = Annotated[
    bool, rare_flag("--strict-base", help="Refuse a concept that was learned on another model.")
]
