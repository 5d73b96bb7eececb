"""Models as a table, and one model in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ticli.terminal.output import Output
from ticli.terminal.quantities import byte_text
from ticli.terminal.tables import Column

COLUMNS = (
    Column("MODEL"),
    Column("NAME"),
    Column("FAMILY"),
    Column("REVISION"),
    Column("PIXELS", right=True),
    Column("SIZE", right=True),
    Column("LICENSE"),
    Column("CURRENT"),
)


def table_of_models(output: Output, models: Sequence[Mapping[str, Any]]) -> None:
    """Write models as JSON or as a table."""
    if output.json:
        output.document(list(models))
        return
    output.table(
        COLUMNS,
        [
            (
                model["id"],
                ", ".join(model["names"]),
                model["family"],
                model["revision"][:8],
                str(model["size"] or ""),
                _bytes(model),
                model["license"],
                "*" if model["current"] else "",
            )
            for model in models
        ],
    )


def _bytes(model: Mapping[str, Any]) -> str:
    """How much of the disk a model takes, or that it cannot be used."""
    if not model["problem"]:
        return byte_text(model["bytes"])
    return "unusable" if model["here"] else "not here"


def show_model(output: Output, model: Mapping[str, Any]) -> None:
    """Write all that is known of a model."""
    if output.json:
        output.document(model)
        return
    if output.quiet:
        output.exact(model["folder"])
        return
    encoders = [
        f"{key}: {width} numbers a vector, {model['windows'][key]} tokens"
        for key, width in model["widths"].items()
    ]
    defaults = model["defaults"]
    output.pairs(
        [
            ("model", model["id"]),
            *([("names", ", ".join(model["names"]))] if model["names"] else []),
            ("family", f"{model['family']} ({model['pipeline']})"),
            ("revision", model["revision"]),
            ("folder", model["folder"]),
            ("on disk", byte_text(model["bytes"])),
            ("encoders", "; ".join(encoders)),
            ("pixels", f"{model['size']}, sides multiples of {model['grain']}"),
            (
                "defaults",
                f"{defaults['sampler']}, {defaults['steps']} steps, "
                f"guidance {defaults['guidance']:g}",
            ),
            ("fingerprint", model["fingerprint"]),
            *(("note", note) for note in model["notes"]),
        ]
    )
