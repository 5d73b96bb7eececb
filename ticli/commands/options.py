"""Flags that mean the same in every command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ticli.commands.arguments import given_names
from ticli.errors import NotFound, Usage
from ticli.settings import check_value, load_settings
from ticli.terminal.output import Output

if TYPE_CHECKING:
    from ticli.library.formats.metadata import Extras
    from ticli.library.library import Library
    from ticli.models.folder import ModelSource
    from ticli.models.single_files.recognising import Given


# Headings under which help pages list flags; others are listed first.
OUTPUT, MACHINE = "Output", "Machine"

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

JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=OUTPUT)
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Only the result: names or paths, one a line.", rich_help_panel=OUTPUT
    ),
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="More detail on stderr.", rich_help_panel=OUTPUT)
]
NoColorOption = Annotated[
    bool, typer.Option("--no-color", help="No colours, as with NO_COLOR.", rich_help_panel=OUTPUT)
]
DebugOption = Annotated[
    bool,
    typer.Option(
        "--debug", help="Show where an error happened, as with TI_DEBUG=1.", rich_help_panel=OUTPUT
    ),
]

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Answer yes to the question.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Say what would happen, change nothing.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Take the place of the concept of that name.")
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
    typer.Option(
        "--dtype",
        help="Precision of the model (TI_DTYPE).",
        show_default=False,
        rich_help_panel=MACHINE,
    ),
]
OfflineOption = Annotated[
    bool,
    typer.Option(
        "--offline",
        help="Stay off the network (TI_OFFLINE, HF_HUB_OFFLINE).",
        rich_help_panel=MACHINE,
    ),
]
ProgressOption = Annotated[
    Literal["auto", "plain", "jsonl", "none"],
    typer.Option("--progress", help="How progress is shown on stderr.", rich_help_panel=OUTPUT),
]


# Flags that say which concepts are listed, and in which order.

TagOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        metavar="TAG",
        help="Only concepts with this tag; more tags must all be there.",
        show_default=False,
    ),
]
BaseOption = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="BASE",
        help="Only concepts of this model or family, as in sd1.",
        show_default=False,
    ),
]
KindOption = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="Only concepts of this kind: object, style or person.",
        show_default=False,
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="Only concepts made since: 2026-01-31, or an age as in 90min, 12h, 7d or 2w.",
        show_default=False,
    ),
]
SortOption = Annotated[
    str,
    typer.Option(
        "--sort", metavar="KEY[:desc]", help="name, created, used or size; :desc turns it round."
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=0, help="At most N rows.", show_default=False),
]


# The flags about models in one file, and how what they leave open is found out.

ComponentsOption = Annotated[
    Path | None,
    typer.Option(
        "--components",
        metavar="DIR",
        help="A diffusers folder that has what a model in one file lacks.",
        show_default=False,
        rich_help_panel=MACHINE,
    ),
]
PredictionOption = Annotated[
    Literal["epsilon", "v"] | None,
    typer.Option(
        "--prediction",
        help="What a model in one file predicts: the noise (epsilon) or the velocity (v).",
        show_default=False,
        rich_help_panel=MACHINE,
    ),
]


def given_of(components: Path | None, prediction: str | None) -> Given:
    """What both flags say."""
    from ticli.models.single_files.recognising import FLAG, PREDICTIONS, Given

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


# Flags that say how pictures are drawn.

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


# Flags of `ti score`.

WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME...",
        help="Concepts, as mug or <mug>, or embedding files; - reads names from stdin.",
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
        help="Draw image similarity against obedience into a .png.",
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
NoSaveOption = Annotated[
    bool, typer.Option("--no-save", help="Do not keep the scores with the concept.")
]


# What `ti export` can be told.

Program = Literal[
    "diffusers", "a1111", "comfyui", "invokeai", "sdnext", "kohya", "onetrainer", "concept-repo",
    "png", "ti",
]  # fmt: skip
Format = Literal[
    "ti", "diffusers", "diffusers-pair", "diffusers-bin", "emb_params", "emp_params", "sdxl", "t5",
    "encoder-keys", "a1111-pt", "original-pt", "png", "concept-repo", "bundle",
]  # fmt: skip

NamesOrAllArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME...",
        help="Concepts, as mug or <mug>; - reads names from stdin.",
        show_default=False,
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Every concept.")]
ForOption = Annotated[
    Program | None,
    typer.Option("--for", help="The program it is for, by default diffusers.", show_default=False),
]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format", help="A layout in its own right, in place of --for.", show_default=False
    ),
]
ExportOutputOption = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|DIR|ZIP|-",
        help="Where to write; - is stdout. Several concepts go into a folder or a .zip.",
        show_default=False,
    ),
]
AuthorOption = Annotated[
    str,
    typer.Option("--author", metavar="NAME", help="Write who made it.", show_default=False),
]
LicenseOption = Annotated[
    str,
    typer.Option(
        "--license", metavar="LICENSE", help="Write its licence, as cc0-1.0.", show_default=False
    ),
]
NotesOption = Annotated[bool, typer.Option("--notes", help="Write your notes into it, too.")]
ThumbnailOption = Annotated[
    str,
    typer.Option(
        "--thumbnail",
        metavar="PICTURE",
        help="A small picture inside; with --for png, the picture itself.",
        show_default=False,
    ),
]


def wanted_names(library: Library, names: Sequence[str], all_names: bool) -> list[str]:
    """The names to export, each known. Raises Usage and NotFound."""
    if all_names and names:
        raise Usage("--all means every concept already", "leave the names out")
    if not all_names and not names:
        raise Usage("no concept was named", "ti export NAME, or ti export --all")
    if all_names:
        return library.names()
    return list(dict.fromkeys(library.get(name).name for name in given_names(names)))


def extras_of(author: str, license: str, notes: bool, thumbnail: str) -> Extras:
    """What goes into the file on request; the picture is opened.

    Raises Usage (not one line of text), NotFound and BadContent (the picture).
    """
    from ticli.library.formats.metadata import Extras

    for flag, text in (("--author", author), ("--license", license)):
        if not text.isprintable():
            raise Usage(f"{flag} {text!r} is not one line of text", "leave control characters out")
    picture = None
    if thumbnail:
        from ticli.photos.opening import open_photo

        if not Path(thumbnail).exists():
            raise NotFound(f"no such picture: {thumbnail}", "check the spelling")
        picture = open_photo(Path(thumbnail)).image
    return Extras(author, license, notes, picture)
