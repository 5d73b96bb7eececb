"""A concept of every model family, with all that a concept can know."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from concepts import make_concept

from ticli.concept import BaseModel, Curves, Embedding, Outcome, Parent, PhotoRecord

FAMILIES: Mapping[str, Mapping[str, int]] = {
    "sd1": {"clip_l": 768},
    "sd2": {"clip_h": 1024},
    "sdxl": {"clip_l": 768, "clip_g": 1280},
    "sd3": {"clip_l": 768, "clip_g": 1280, "t5": 4096},
    "flux": {"clip_l": 768, "t5": 4096},
    "pixart": {"t5": 4096},
    "sana": {"gemma": 2304},
    "starter": {"clip_l": 256},
}
SECRETS = ("IMG_2041_anna", "anna-home", "call anna")


# Models that other programs know and `ti` does not draw with.
OTHERS: Mapping[str, Mapping[str, int]] = {
    "hidream": {"clip_l": 768, "clip_g": 1280, "t5": 4096, "llama": 4096},
    "hunyuanvideo": {"clip_l": 768, "llama": 4096},
    "cascade": {"clip_g": 1280},
}


def learned(family: str, vectors: int = 3, name: str = "mug", **changes: Any) -> Any:
    """Build a concept of a family and its embedding, the same every time."""
    widths = {**FAMILIES, **OTHERS}[family]
    draw = np.random.default_rng(zlib.crc32(f"{name}{family}{vectors}".encode()))
    embedding = Embedding(
        {
            encoder: draw.normal(0, 0.02, (vectors, width)).astype(np.float32)
            for encoder, width in widths.items()
        }
    )
    concept = make_concept(
        name,
        token=f"<{name.title()}>",
        noun="cup",
        vectors=vectors,
        widths=dict(widths),
        norms={
            encoder: [float(norm) for norm in np.linalg.norm(rows.astype(np.float64), axis=1)]
            for encoder, rows in embedding.rows.items()
        },
        base=BaseModel("sd1" if family == "starter" else family, "maker/model-1", "abc", "f" * 64),
        tags=("kitchen", "blue"),
        outcome=Outcome("settled", 120, 0.2, 0.3, 0.1, None, 0, 1, (), ()),
        curves=Curves((40, 80, 120), (0.3, 0.25, 0.2), (0.0, 0.05, 0.1)),
        warnings=("it changes little",),
        about={"author": "Jane", "license": "cc0-1.0"},
        parents=(Parent("teapot", 0.5, "cd" * 32),),
    )
    return replace(concept, **changes), embedding


def private(family: str) -> Any:
    """Build a concept whose row holds what its owner would not hand on: SECRETS."""
    return learned(
        family,
        base=BaseModel("sd1" if family == "starter" else family, "/srv/anna-home/models/x", "", ""),
        photos=(PhotoRecord("IMG_2041_anna.jpg", "ab" * 32),),
        notes="call anna",
        warnings=("/srv/anna-home/p.jpg is dark",),
        scores=({"pictures": "/srv/anna-home/pictures", "photos": ["IMG_2041_anna.jpg"]},),
        recipe={
            "steps": 160,
            "masks": "/srv/anna-home/masks",
            "deep": {"list": ["~/anna-home/a", "C:\\anna-home\\b", "./anna-home/c"]},
            "file": "file:///anna-home/model.ckpt",
            "words": "from /srv/anna-home/a and ~/anna-home/b",
        },
    )


def same(tensor: torch.Tensor, rows: np.ndarray) -> bool:
    """Whether a tensor has the very bits of the rows."""
    found = tensor.detach().numpy()
    found = found[None] if found.ndim == 1 else found
    return found.dtype == np.float32 and found.tobytes() == rows.tobytes()
