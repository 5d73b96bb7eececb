"""What `ti export` can be told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ticli.commands.names import given_names
from ticli.errors import NotFound, Usage

if TYPE_CHECKING:
    from ticli.library.formats.writing.package import Extras
    from ticli.library.library import Library

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
OutputOption = Annotated[
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
    from ticli.library.formats.writing.package import Extras

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
