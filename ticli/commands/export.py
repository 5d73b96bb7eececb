"""`ti export`: concepts as files for other programs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ticli.commands import options
from ticli.errors import Usage
from ticli.terminal.output import Output, open_output, refuse_terminal

if TYPE_CHECKING:
    from ticli.library.exporting import Exported, Order, Outgoing


STDOUT = "-"
# An export of a whole library would have advice for every concept.
MOST_NOTES = 8


def export(
    names: options.NamesOrAllArgument = None,
    all_names: options.AllOption = False,
    program: options.ForOption = None,
    format: options.FormatOption = None,
    output: options.ExportOutputOption = "",
    author: options.AuthorOption = "",
    license: options.LicenseOption = "",
    notes: options.NotesOption = False,
    thumbnail: options.ThumbnailOption = "",
    force: options.ForceOption = False,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Write concepts to files for other programs.

    The files hold the same float32 numbers as the library, and say what they are. They never hold
    names of photos or local paths, and hold your notes only with --notes.
    """
    from ticli.library.exporting import Order, Target, plan_files, write_files
    from ticli.library.library import Library

    answers = open_output(json, quiet, verbose, no_color, debug)
    target = Target(program or "", format or "").checked()
    library = Library.open()
    wanted = tuple(options.wanted_names(library, names or [], all_names))
    extras = options.extras_of(author, license, notes, thumbnail)
    order = Order(wanted, target, extras, output)
    if output == STDOUT:
        _to_stdout(answers, library, order)
        return
    files = plan_files(library, order) if wanted else []
    write_files(files, output, force)
    _say(answers, [exported for file in files for _, exported in file.parts])
    if json:
        answers.document([item for file in files for item in _as_json(file, order)])
        return
    for file in files:
        answers.exact(str(file.path))
    if not files:
        answers.hint("the library is empty: nothing was written")


def _to_stdout(answers: Output, library: Any, order: Order) -> None:
    """One file as it is, several as a zip. Raises Usage where stdout cannot take them."""
    from ticli.library.exporting import export_content

    if answers.json:
        raise Usage("-o - and --json both want stdout", "leave one of them out")
    if not order.names:
        raise Usage("the library is empty: there is nothing to write", "ti invert learns a concept")
    refuse_terminal()
    content, exports = export_content(library, order)
    _say(answers, exports)
    answers.data(content)


def _say(answers: Output, exports: Iterable[Exported]) -> None:
    """Say what to do next, and with --verbose what the layout cannot hold."""
    said: list[str] = []
    for exported in dict.fromkeys(exports):
        said += exported.notes
        if exported.lost:
            names = ", ".join(exported.names)
            answers.detail(
                f"{exported.layout.name} does not hold of {names}: {', '.join(exported.lost)}"
            )
    notes = list(dict.fromkeys(said))
    for note in notes[:MOST_NOTES]:
        answers.note(note)
    if len(notes) > MOST_NOTES:
        answers.note(f"… and {len(notes) - MOST_NOTES} more like these")


def _as_json(file: Outgoing, order: Order) -> Sequence[dict[str, Any]]:
    return [
        {
            "name": name,
            "for": "" if order.target.format else order.target.consumer or "diffusers",
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
