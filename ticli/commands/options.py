"""Flags that mean the same in every command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def flags_of(annotations: Mapping[str, Any], default: Any) -> list[Parameter]:
    """Flags by name; one that is not given has the value `default`."""
    kind = Parameter.POSITIONAL_OR_KEYWORD
    return [Parameter(key, kind, default=default, annotation=a) for key, a in annotations.items()]


def with_flags(
    name: str, flags: Sequence[Parameter], make: Callable[..., Any], in_place: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these flags; its parameter `name` is what `make` makes of their values.

    They come last, or `in_place` of the parameter.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = signature(command, eval_str=True).parameters
        others = [parameter for parameter in own.values() if parameter.name != name]
        place = list(own).index(name) if in_place else len(others)
        parameters = [*others[:place], *flags, *others[place:]]

        @wraps(command)
        def called(**given: Any) -> None:
            made = make(**{one.name: given.pop(one.name) for one in flags})
            command(**given, **{name: made})

        called.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
        return called

    return decorate


def with_fields(kind: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of a class as flags; its parameter `flags` is one of these."""
    return with_flags("flags", [*signature(kind, eval_str=True).parameters.values()], kind)


OUTPUT_FLAGS = {
    "json": Annotated[bool, output_flag("--json", help="One JSON document on stdout.")],
    "quiet": Annotated[
        bool, output_flag("--quiet", "-q", help="Only the result: names or paths, one a line.")
    ],
    "verbose": Annotated[bool, output_flag("--verbose", "-v", help="More detail on stderr.")],
    "no_color": Annotated[bool, output_flag("--no-color", help="No colours, as with NO_COLOR.")],
    "debug": Annotated[
        bool, output_flag("--debug", help="Show where an error happened, as with TI_DEBUG=1.")
    ],
}
with_output = with_flags("output", flags_of(OUTPUT_FLAGS, False), open_output)

NameArgument = Annotated[str, argument(metavar="NAME", help="A concept, as mug or <mug>.")]
NAMES = argument(metavar="NAME...", help="Concepts, as mug or <mug>; - reads names from stdin.")

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
    Literal["object", "style", "person"] | None, flag("--kind", help="Only concepts of this kind.")
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
