"""Where a vector lies among a vocabulary's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from ticli.concept import Embedding
from ticli.models import locate_image_encoder
from ticli.scoring import measures


@dataclass
class Words:
    """What is looked at of a text encoder."""

    key: str
    table: torch.Tensor
    tokenizer: Any


@dataclass
class Bare:
    encoders: tuple[Words, ...]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(locate_image_encoder("starter").folder)


def test_norm_share_and_nearest_words(tokenizer, monkeypatch) -> None:
    table = torch.randn(4096, 8, generator=torch.Generator().manual_seed(0))
    number = tokenizer("mug", add_special_tokens=False).input_ids[0]
    model = Bare((Words("clip_l", table, tokenizer),))
    rows = torch.stack([table[number] * 3, table[tokenizer.eos_token_id]])
    # Several chunks, of which the last is not full.
    monkeypatch.setattr(measures, "CHUNK", 1000)
    found = measures.places_of(model, Embedding({"clip_l": rows.numpy()}), 3)
    first, second = found["clip_l"]
    norms = sorted(float(row.square().sum().sqrt()) for row in table)
    assert first["nearest"][0]["word"] == "mug"
    assert first["nearest"][0]["cosine"] == pytest.approx(1.0, abs=1e-5)
    assert len({near["word"] for near in first["nearest"]}) == 3
    assert first["norm"] == pytest.approx(3 * float(table[number].norm()), rel=1e-5)
    assert first["vocabulary"] == pytest.approx(norms[(len(norms) - 1) // 2], rel=1e-5)
    assert first["ratio"] == pytest.approx(first["norm"] / first["vocabulary"])
    assert first["larger"] == pytest.approx(sum(n < first["norm"] for n in norms) / 4096, abs=1e-6)
    # The end of a text is no word.
    assert all(near["cosine"] < 0.999 for near in second["nearest"])
