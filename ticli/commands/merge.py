"""`ti merge`: a new concept out of several."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import typer

from ticli.commands import options
from ticli.errors import Usage
from ticli.names import parse_token
from ticli.terminal.concept_views import show_concept
from ticli.terminal.output import Output


@options.with_output
def merge(
    output: Output,
    parts: Annotated[
        list[str],
        options.argument(metavar="PART...", help="Concepts, each as mug or mug:0.7."),
    ],
    token: Annotated[
        str,
        options.flag(
            "--token",
            "-t",
            metavar="TOKEN",
            help='The token of the new concept, as "<mugpot>" or mugpot.',
        ),
    ],
    method: Annotated[
        Literal["mean", "slerp", "concat"], typer.Option("--method", help="How to combine.")
    ] = "mean",
    raw: Annotated[
        bool, options.flag("--raw", help="Do not scale a mean to the length of its parts.")
    ] = False,
    replace: options.ReplaceOption = False,
    dry_run: options.DryRunOption = False,
) -> None:
    """Combine concepts into a new one.

    mean weighs the vectors row by row; a weight below 0 subtracts, as in mug teapot:-0.5. slerp
    follows the arc from the first of two concepts to the second, as far as the second's weight.
    concat puts all vectors into one concept.
    """
    from ticli.interface import ConceptLibrary

    wanted, new = [_part(text) for text in parts], parse_token(token)
    concept = ConceptLibrary.open().merge(
        wanted, new.text, method=method, raw=raw, replace=replace, store=not dry_run
    )
    if dry_run:
        show_concept(output, concept)
        output.note("nothing was stored (--dry-run)")
        return
    if output.json:
        output.document(concept.as_json())
    else:
        output.line(concept.name)
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
