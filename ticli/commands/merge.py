"""`ti merge`: a new concept out of several."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ticli.commands import options
from ticli.errors import Conflict, Usage
from ticli.names import Token, parse_token
from ticli.terminal.concept_views import show_added, show_concept
from ticli.terminal.output import open_output

if TYPE_CHECKING:
    from ticli.concept import Concept, Embedding
    from ticli.library.library import Library


Method = Literal["mean", "slerp", "concat"]


@dataclass(frozen=True)
class MergeRequest:
    """What to merge, and how: names with their weights or None."""

    parts: tuple[tuple[str, float | None], ...]
    token: Token
    method: Method
    raw: bool
    replace: bool


def merge(
    parts: Annotated[
        list[str],
        typer.Argument(
            metavar="PART...", help="Concepts, each as mug or mug:0.7.", show_default=False
        ),
    ],
    token: Annotated[
        str,
        typer.Option(
            "--token",
            "-t",
            metavar="TOKEN",
            help='The new word, as "<mugpot>" or mugpot.',
            show_default=False,
        ),
    ],
    method: Annotated[Method, typer.Option("--method", help="How to combine.")] = "mean",
    raw: Annotated[
        bool, typer.Option("--raw", help="Leave the length of a mean as it comes out.")
    ] = False,
    replace: options.ReplaceOption = False,
    dry_run: options.DryRunOption = False,
    json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Combine concepts into a new one.

    mean weighs the vectors row by row; slerp goes from the first of two to the second along the
    arc, as far as the second's weight; concat puts all vectors into one word.
    """
    from ticli.library.library import Library

    request = MergeRequest(
        tuple(_part(text) for text in parts), parse_token(token), method, raw, replace
    )
    output = open_output(json, quiet, verbose, no_color, debug)
    library = Library.open()
    concept, embedding = _combine(library, request)
    if dry_run:
        show_concept(output, concept)
        output.note("nothing was stored (--dry-run)")
    else:
        show_added(output, library.add(concept, embedding, replace=replace))
        output.hint(f'try: ti generate "a photo of {concept.trigger}"')


def _combine(library: Library, request: MergeRequest) -> tuple[Concept, Embedding]:
    """Read the parents and do the maths; a name that is taken is said before that."""
    from ticli.library import merging

    parents = [(library.get(name), weight) for name, weight in request.parts]
    taken = library.find(request.token.name)
    if taken is not None and not request.replace:
        raise Conflict(
            f"{taken.name!r} is in the library already",
            "give --replace, or another --token",
            name=taken.name,
        )
    merging.merge_base([concept for concept, _ in parents])
    embedding = merging.merge(
        [(library.embedding(concept), weight) for concept, weight in parents],
        request.method,
        request.raw,
    )
    concept = merging.merged_concept(request.token, parents, embedding, request.method, request.raw)
    return concept, embedding


def _part(text: str) -> tuple[str, float | None]:
    """Read `mug` or `mug:0.7`. Raises Usage."""
    name, colon, weight = text.rpartition(":")
    if not colon:
        return text, None
    try:
        value = float(weight)
    except ValueError:
        value = math.nan
    if not name or not math.isfinite(value):
        raise Usage(f"{text!r} has no number after the colon", "write a weight as in mug:0.7")
    return name, value
