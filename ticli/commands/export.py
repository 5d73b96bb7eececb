"""`ti export`: concepts as files for other programs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ticli.commands import options
from ticli.commands.arguments import given_names
from ticli.errors import NotFound, Usage
from ticli.terminal.output import Output, refuse_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ticli.interface import Event
    from ticli.library.exporting import Outgoing, Target
    from ticli.library.formats.metadata import Extras
    from ticli.library.library import Library


Program = Literal[
    "diffusers", "a1111", "forge", "comfyui", "invokeai", "sdnext", "easydiffusion", "kohya",
    "sdcpp", "onetrainer", "concept-repo", "png", "ti",
]  # fmt: skip
Format = Literal[
    "ti", "diffusers", "diffusers-pair", "diffusers-bin", "emb_params", "emp_params", "sdxl",
    "t5xxl", "encoder-keys", "a1111-pt", "original-pt", "png", "concept-repo", "bundle",
]  # fmt: skip
# An export of a whole library would have advice for every concept.
MOST_NOTES = 8


@options.with_output
def export(
    output: Output,
    names: Annotated[list[str] | None, options.NAMES] = None,
    everything: Annotated[bool, options.flag("--all", help="Every concept.")] = False,
    program: Annotated[
        Program | None,
        options.flag("--for", help="The program it is for, by default diffusers."),
    ] = None,
    format: Annotated[
        Format | None,
        options.flag("--format", help="A layout in its own right, in place of --for."),
    ] = None,
    place: Annotated[
        str,
        options.flag(
            "--output",
            "-o",
            metavar="FILE|DIR|ZIP|-",
            help="Where to write; - is stdout. Several concepts go into a folder or a .zip.",
        ),
    ] = "",
    author: Annotated[
        str, options.flag("--author", metavar="NAME", help="Write who made it.")
    ] = "",
    license: Annotated[
        str, options.flag("--license", metavar="LICENSE", help="Write its licence, as cc0-1.0.")
    ] = "",
    notes: Annotated[bool, options.flag("--notes", help="Write your notes into it, too.")] = False,
    thumbnail: Annotated[
        str,
        options.flag(
            "--thumbnail",
            metavar="PICTURE",
            help="A small picture inside; with --for png, the picture itself.",
        ),
    ] = "",
    force: Annotated[
        bool,
        options.flag(
            "--force", help="Overwrite files, and take a file name that the program cannot use."
        ),
    ] = False,
) -> None:
    """Write concepts to files for other programs.

    The files hold the same float32 numbers as the library, and say what they are. They never hold
    names of photos or local paths, and hold your notes only with --notes.
    """
    from ticli.interface import ConceptLibrary
    from ticli.library.exporting import Order, Target

    target = Target(program or "", format or "", any_name=force).checked()
    library = ConceptLibrary.open()
    wanted = tuple(_wanted_names(library, names or [], everything))
    order = Order(wanted, target, _extras(author, license, notes, thumbnail), place)
    advice: dict[str, None] = {}

    def hear(event: Event) -> None:
        if event.kind == "note":
            advice[event.text] = None
        else:
            output.hear(event)

    files: list[Outgoing] = []
    if place == "-":
        output.refuse_json("-o -")
        if not wanted:
            hint = "ti invert learns a concept"
            raise Usage("the library is empty: there is nothing to write", hint)
        refuse_terminal()
        output.data(library.export_content(order, hear))
    else:
        files = library.export_files(order, force, hear)
    for note in list(advice)[:MOST_NOTES]:
        output.note(note)
    if len(advice) > MOST_NOTES:
        output.note(f"… and {len(advice) - MOST_NOTES} more like these")
    if place == "-":
        return
    if output.json:
        output.document([item for file in files for item in _as_json(file, target)])
    elif files:
        for file in files:
            output.exact(str(file.path))
    else:
        output.hint("the library is empty: nothing was written")


def _wanted_names(library: Library, names: Sequence[str], everything: bool) -> list[str]:
    """The names to export, each known. Raises Usage and NotFound."""
    if everything and names:
        raise Usage("--all means every concept already", "leave the names out")
    if not everything and not names:
        raise Usage("no concept was named", "ti export NAME, or ti export --all")
    if everything:
        return library.names()
    return list(dict.fromkeys(library.get(name).name for name in given_names(names)))


def _extras(author: str, license: str, notes: bool, thumbnail: str) -> Extras:
    """What goes into the file on request. Raises Usage, NotFound and BadContent."""
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


def _as_json(file: Outgoing, target: Target) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "for": "" if target.format else target.consumer or "diffusers",
            "format": exported.layout.name,
            "path": str(file.path),
            "member": member,
            "bytes": len(file.content),
            "sha256": hashlib.sha256(file.content).hexdigest(),
            "lost": list(exported.lost),
        }
        for member, exported in file.parts
        for name in exported.names
    ]
