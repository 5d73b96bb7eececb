"""Whether a word may start from another: its vectors have to mean something to the model."""

from __future__ import annotations

from collections.abc import Mapping

from ticli.concept import Concept
from ticli.errors import Conflict
from ticli.models.source import ModelSource


def check_lineage(start: Concept, source: ModelSource) -> None:
    """Raise Conflict, naming both sides, where a concept is of another family or width."""
    family = start.base.family or source.family
    if (family, dict(start.widths)) == (source.family, dict(source.widths)):
        return
    learned = start.base.id or "an unnamed model"
    raise Conflict(
        f"{start.token} was learned for {learned} "
        f"({_shape(start.base.family or 'any family', start.widths)}), and {source.id} is another "
        f"({_shape(source.family, source.widths)})",
        "start from a concept of the same kind of model, or give its model with -m",
        concept=start.name,
        model=source.id,
    )


def lineage_notes(start: Concept | None, source: ModelSource, fingerprint: str) -> list[str]:
    """What to say of a start that fits, and was learned on another model or nobody knows which."""
    if start is None or start.base.fingerprint == fingerprint:
        return []
    if not start.base.fingerprint:
        return [f"{start.token}, which to start from, does not say which model it was learned on"]
    if start.base.id == source.id:
        return [
            f"{start.token}, which to start from, was learned on another version of {source.id}"
        ]
    other = start.base.id or "another model"
    return [f"{start.token}, which to start from, was learned on {other}, not on {source.id}"]


def _shape(family: str, widths: Mapping[str, int]) -> str:
    return ", ".join([family, *(f"{encoder} {width}" for encoder, width in widths.items())])
