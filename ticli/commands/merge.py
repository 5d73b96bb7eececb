"""`ti merge`: a new concept out of several."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import typer

from ticli.commands import options
from ticli.errors import Usage
from ticli.names import parse_token
from ticli.terminal.concept_views import show_added, show_concept
from ticli.terminal.output import open_output

Method = Literal["mean", "slerp", "concat"]


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
            help='The token of the new concept, as "<mugpot>" or mugpot.',
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

    mean weighs the vectors row by row. slerp follows the arc from the first of two concepts to the
    second, as far as the second's weight. concat puts all vectors into one concept.
    """
    from ticli.interface import ConceptLibrary

    wanted, new = [_part(text) for text in parts], parse_token(token)
    output = open_output(json, quiet, verbose, no_color, debug)
    concept = ConceptLibrary.open().merge(
        wanted, new.text, method=method, raw=raw, replace=replace, store=not dry_run
    )
    if dry_run:
        show_concept(output, concept)
        output.note("nothing was stored (--dry-run)")
    else:
        show_added(output, concept)
        output.hint(f'try: ti generate "a photo of {concept.trigger}"')


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
