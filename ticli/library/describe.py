"""What a set of vectors says of itself, and the plainest concept that holds it."""

from __future__ import annotations

from collections.abc import Mapping

from ticli.concept import BaseModel, Concept, Embedding, Losses
from ticli.errors import BadContent
from ticli.names import Token

# The encoder whose token vectors have a width (formats differ in keys, never in widths). 256 is
# the starter's encoder, which stands in the place of clip_l.
ENCODERS: Mapping[int, str] = {
    256: "clip_l",
    768: "clip_l",
    1024: "clip_h",
    1280: "clip_g",
    2304: "gemma",
    4096: "t5",
}
UNKNOWN_BASE = BaseModel("", "", "", "")


# The vocabularies of CLIP have rows of norm about 0.4; no training that helps goes this far.
LARGEST_NORM = 100.0


def longest_vector(norms: Mapping[str, list[float]]) -> float | None:
    """The largest norm in a CLIP encoder, where it is larger than any word can use, else None."""
    found = [max(values) for key, values in norms.items() if key.startswith("clip") and values]
    return max(found) if found and max(found) > LARGEST_NORM else None


def norms_of(embedding: Embedding) -> dict[str, list[float]]:
    """The L2 norm of every vector, by encoder."""
    import numpy as np

    return {
        encoder: [float(norm) for norm in np.linalg.norm(rows.astype(np.float64), axis=1)]
        for encoder, rows in embedding.rows.items()
    }


def same_vectors(left: Embedding, right: Embedding) -> bool:
    """Whether two embeddings hold the same numbers for the same encoders."""
    import numpy as np

    return left.rows.keys() == right.rows.keys() and all(
        np.array_equal(rows, right.rows[encoder]) for encoder, rows in left.rows.items()
    )


def check_vectors(embedding: Embedding, word: str) -> None:
    """Refuse vectors that would spoil every picture: none, not finite, or unequal in number.

    Raises BadContent naming `word`.
    """
    import numpy as np

    counts = {encoder: rows.shape[0] for encoder, rows in embedding.rows.items()}
    if not counts or 0 in counts.values():
        raise BadContent(f"{word} has no vectors", "learn or fetch it again")
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{encoder} {count}" for encoder, count in counts.items())
        raise BadContent(f"{word} has unequal numbers of vectors: {said}", "fetch it again")
    for encoder, rows in embedding.rows.items():
        if not np.isfinite(rows).all():
            raise BadContent(
                f"{word} holds numbers that are not finite ({encoder})", "learn or fetch it again"
            )


def bare_concept(token: Token, embedding: Embedding, base: BaseModel = UNKNOWN_BASE) -> Concept:
    """A concept of which only word, vectors and base are known; the rest is empty."""
    return Concept(
        name=token.name,
        token=token.text,
        noun="",
        kind="object",
        init="",
        vectors=embedding.vectors,
        widths=embedding.widths,
        base=base,
        recipe={},
        seed=None,
        steps=0,
        losses=Losses(),
        norms=norms_of(embedding),
        photos=(),
        parents=(),
        tags=(),
        notes="",
        device="",
        versions={},
        seconds=0.0,
        created="",
        used="",
        path="",
        bytes=0,
        sha256="",
    )
