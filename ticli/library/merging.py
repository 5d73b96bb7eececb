"""Merge concepts: mean, slerp or concat of their vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ticli.concept import BaseModel, Concept, Embedding, Parent
from ticli.errors import Conflict, Usage
from ticli.families import fits, model_in_words
from ticli.library.record import bare_concept
from ticli.names import Token, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    # Sums run in float64, so that merging adds no rounding of its own.
    Wide = NDArray[np.float64]

Part = tuple[Embedding, float | None]
# Below this angle's sine the arc is a straight line to float32's precision.
SMALLEST_SINE = 1e-4
# Vectors are divided by the sum of the weights.
SMALLEST_SUM = 1e-6


def merge(parts: Sequence[Part], method: str, raw: bool = False) -> Embedding:
    """Combine embeddings, each with a weight or None, by "mean", "slerp" or "concat".

    A missing weight is 1. Weights are divided by their sum; in a mean, one below 0 subtracts.
    Unless `raw`, each mean row gets the weighted mean of the parts' norms. Raises Usage (weights,
    method, number of parts) and Conflict (other encoders or widths, unequal numbers of vectors).
    """
    if method not in METHODS:
        raise Usage(f"no method {method!r} of merging", did_you_mean(method, METHODS))
    if len(parts) < 2:
        raise Usage("a merge takes at least two concepts", "ti merge mug teapot --token NEW")
    if raw and method != "mean":
        raise Usage(f"--raw has no meaning with {method}", "it leaves the rows of a mean unscaled")
    first = parts[0][0].widths
    for other, _ in parts[1:]:
        if not fits("", other.widths, "", first):
            sides = [
                ", ".join(f"{encoder} {width}" for encoder, width in widths.items())
                for widths in (first, other.widths)
            ]
            raise Conflict(
                f"the concepts have vectors for different encoders: {', and '.join(sides)}",
                "merge concepts that were learned on one kind of model",
            )
    return METHODS[method](parts, raw)


def merge_base(concepts: Sequence[Concept]) -> BaseModel:
    """The base model that concepts share; parts that differ are "".

    Raises Conflict if two concepts differ in family or widths.
    """
    # An imported concept may not know its family; its widths then decide.
    known = next((concept for concept in concepts if concept.base.family), concepts[0])
    for other in concepts:
        if not fits(other.base.family, other.widths, known.base.family, known.widths):
            first, second = (model_in_words(c.base.family, c.widths) for c in (known, other))
            raise Conflict(
                f"{known.name!r} and {other.name!r} do not go together: {known.name!r} is for "
                f"{first}, and {other.name!r} is for {second}",
                "merge concepts that were learned on one kind of model",
            )
    parts = {}
    for part in ("id", "revision", "fingerprint"):
        values = {getattr(concept.base, part) for concept in concepts}
        parts[part] = values.pop() if len(values) == 1 else ""
    return BaseModel(known.base.family, **parts)


def merged_concept(
    token: Token,
    parts: Sequence[tuple[Concept, float | None]],
    embedding: Embedding,
    method: str,
    raw: bool = False,
) -> Concept:
    """The concept that a merge makes; `parts` are its parents in order, with their weights."""
    concepts = [concept for concept, _ in parts]
    shared = {}
    for word in ("noun", "kind", "init"):
        values = {getattr(concept, word) for concept in concepts}
        shared[word] = values.pop() if len(values) == 1 else ""
    return replace(
        bare_concept(token, embedding, merge_base(concepts)),
        noun=shared["noun"],
        kind=shared["kind"] or "object",
        init=shared["init"],
        recipe={"method": method, "raw": raw},
        parents=tuple(Parent(concept.name, weight, concept.sha256) for concept, weight in parts),
    )


def _mean(parts: Sequence[Part], raw: bool) -> Embedding:
    """Σ wᵢ vᵢ, row by row."""
    import numpy as np

    weights = _shares(parts, signed=True)
    sizes = np.abs(weights) / np.abs(weights).sum()
    _check_counts(parts)
    rows = {}
    for encoder in parts[0][0].rows:
        stack = np.stack([embedding.rows[encoder].astype(np.float64) for embedding, _ in parts])
        mean = np.einsum("p,pvw->vw", weights, stack)
        if not raw:
            norms = np.einsum("p,pv->v", sizes, np.linalg.norm(stack, axis=2))
            mean *= (norms / _nonzero_norms(mean))[:, None]
        rows[encoder] = mean.astype(np.float32)
    return Embedding(rows)


def _slerp(parts: Sequence[Part], raw: bool) -> Embedding:
    """Shoemake 1985: along the arc between two directions; norms are interpolated linearly."""
    import numpy as np

    if len(parts) != 2:
        raise Usage(f"slerp takes exactly two concepts, not {len(parts)}", "use --method mean")
    t = float(_shares(parts)[1])
    _check_counts(parts)
    rows = {}
    for encoder in parts[0][0].rows:
        start, end = (embedding.rows[encoder].astype(np.float64) for embedding, _ in parts)
        start_norm, end_norm = _nonzero_norms(start), _nonzero_norms(end)
        direction = _arc(start / start_norm[:, None], end / end_norm[:, None], t)
        norm = (1 - t) * start_norm + t * end_norm
        rows[encoder] = (norm[:, None] * direction).astype(np.float32)
    return Embedding(rows)


def _concat(parts: Sequence[Part], raw: bool) -> Embedding:
    """One concept with the vectors of all, in order."""
    import numpy as np

    if any(weight is not None for _, weight in parts):
        raise Usage("concat takes no weights", "leave out `:WEIGHT`, or use --method mean")
    tables = [embedding.rows for embedding, _ in parts]
    return Embedding({key: np.concatenate([rows[key] for rows in tables]) for key in tables[0]})


Method = Callable[[Sequence[Part], bool], Embedding]
METHODS: Mapping[str, Method] = {"mean": _mean, "slerp": _slerp, "concat": _concat}


def _arc(start: Wide, end: Wide, t: float) -> Wide:
    """Unit vectors at share `t` of the way between unit vectors, row by row."""
    import numpy as np

    cosine = np.clip(np.sum(start * end, axis=1, keepdims=True), -1.0, 1.0)
    angle = np.arccos(cosine)
    sine = np.sin(angle)
    if np.any((sine < SMALLEST_SINE) & (cosine < 0)):
        raise Conflict("the concepts point in opposite directions", "use --method concat")
    straight = sine < SMALLEST_SINE
    divisor = np.where(straight, 1.0, sine)
    direction = np.where(
        straight,
        (1 - t) * start + t * end,
        (np.sin((1 - t) * angle) * start + np.sin(t * angle) * end) / divisor,
    )
    unit: Wide = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    return unit


def _nonzero_norms(rows: Wide) -> Wide:
    """The norm of every row. Raises Conflict for a row of zeros, which has no direction."""
    import numpy as np

    norms: Wide = np.linalg.norm(rows, axis=1)
    if np.any(norms < 1e-12):
        raise Conflict(
            "the concepts cancel out, or one of their vectors is zero",
            "use other weights, --raw, or --method concat",
        )
    return norms


def _shares(parts: Sequence[Part], signed: bool = False) -> Wide:
    import numpy as np

    weights = [1.0 if weight is None else float(weight) for _, weight in parts]
    for weight in weights:
        if not np.isfinite(weight) or (weight < 0 and not signed):
            raise Usage(
                f"a weight must be a number of at least 0, not {weight:g}",
                "--method mean takes weights below 0, which subtract",
            )
    if sum(weights) <= SMALLEST_SUM:
        raise Usage(
            f"the weights add up to {sum(weights):g}, and must add up to more than 0",
            "give one of them a larger weight",
        )
    shares: Wide = np.asarray(weights) / sum(weights)
    return shares


def _check_counts(parts: Sequence[Part]) -> None:
    counts = [embedding.vectors for embedding, _ in parts]
    if len(set(counts)) > 1:
        said = " and ".join(map(str, counts))
        raise Conflict(
            f"the concepts have {said} vectors, and rows are combined one by one",
            "use --method concat, which puts them one after another",
        )
