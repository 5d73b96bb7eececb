"""Small real concepts and their vectors, for tests that fill a library."""

from __future__ import annotations

from dataclasses import replace
from typing import Any


def make_concept(name: str = "mug", **changes: Any) -> Any:
    """Build a small real concept, as learned on the starter."""
    from ticli.concept import BaseModel, Concept, Losses

    concept = Concept(
        name=name,
        token=f"<{name}>",
        noun="",
        kind="object",
        init="cup",
        vectors=1,
        widths={"clip_l": 256},
        base=BaseModel("sd1", "starter", "0.1", "f" * 64),
        recipe={"steps": 160, "lr": 0.001},
        seed=0,
        steps=160,
        losses=Losses(0.2, 0.1, 0.1),
        norms={"clip_l": [0.4]},
        photos=(),
        parents=(),
        tags=(),
        notes="",
        device="cpu",
        versions={"ti": "0.1.0"},
        seconds=80.0,
        created="2026-01-02T03:04:05+00:00",
        used="",
        path="",
        bytes=0,
        sha256="",
    )
    return replace(concept, **changes)


def make_embedding(name: str = "mug", vectors: int = 1, width: int = 256) -> Any:
    """Build reproducible float32 rows of shape (vectors, width); other names, other numbers."""
    import zlib

    import numpy as np

    from ticli.concept import Embedding

    draw = np.random.default_rng(zlib.crc32(name.encode()))
    return Embedding({"clip_l": draw.normal(0, 0.02, (vectors, width)).astype(np.float32)})
