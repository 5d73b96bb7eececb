"""Flags that say which concepts are listed, and in which order."""

from __future__ import annotations

from typing import Annotated

import typer

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
