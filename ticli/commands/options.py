"""Flags that mean the same in every command."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A concept, as mug or <mug>.", show_default=False)
]
NamesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...",
        help="Concepts, as mug or <mug>; - reads names from stdin.",
        show_default=False,
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only the result: names or paths, one a line.")
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="More detail on stderr.")]
NoColorOption = Annotated[bool, typer.Option("--no-color", help="No colours, as with NO_COLOR.")]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Show where an error happened, as with TI_DEBUG=1.")
]

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Answer yes to the question.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Say what would happen, change nothing.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Take the place of the concept of that name.")
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        "-t",
        metavar="TOKEN",
        help='The new word, as "<mug>" or mug.',
        show_default=False,
    ),
]

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="starter, a short name, a folder, a .safetensors file, or a hub id (TI_MODEL).",
        show_default=False,
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="auto, cuda, cuda:N, mps or cpu (TI_DEVICE).",
        show_default=False,
    ),
]
DtypeOption = Annotated[
    Literal["auto", "fp32", "fp16", "bf16"] | None,
    typer.Option("--dtype", help="Precision of the model (TI_DTYPE).", show_default=False),
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Stay off the network (TI_OFFLINE, HF_HUB_OFFLINE).")
]
ProgressOption = Annotated[
    Literal["auto", "plain", "jsonl", "none"],
    typer.Option("--progress", help="How progress is shown on stderr."),
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Seed of all draws.", show_default=False),
]
