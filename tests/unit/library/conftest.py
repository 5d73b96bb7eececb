"""Small real concepts for the tests of the library."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ticli.concept import BaseModel, Concept, Embedding, Losses, PhotoRecord
from ticli.library import Library, bare_concept
from ticli.names import parse_token

Maker = Callable[..., tuple[Concept, Embedding]]


@pytest.fixture
def make() -> Maker:
    """make("<Mug>", vectors=2, notes="…") → a concept and its embedding, the same every time."""

    def build(word: str, vectors: int = 1, width: int = 256, **changes: Any):
        draw = np.random.default_rng(zlib.crc32(word.lower().encode()))
        rows = draw.normal(0, 0.02, (vectors, width)).astype(np.float32)
        embedding = Embedding({changes.pop("encoder", "clip_l"): rows})
        concept = replace(
            bare_concept(parse_token(word), embedding, BaseModel("sd1", "starter", "0.1", "f0")),
            init="cup",
            recipe={"steps": 160, "lr": 0.001, "sentences": ["a {}"]},
            seed=0,
            steps=160,
            losses=Losses(0.2, 0.1, None),
            photos=(PhotoRecord("front.jpg", "ab" * 32),),
            versions={"ti": "0.1.0"},
            seconds=81.5,
        )
        return replace(concept, **changes), embedding

    return build


@pytest.fixture
def library() -> Library:
    """The test's own library, not yet on disk."""
    return Library.open()
