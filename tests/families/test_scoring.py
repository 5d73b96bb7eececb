"""Words of every family are drawn and placed among its vocabularies as `ti score` needs it."""

from __future__ import annotations

import pytest
import torch
from everyday import everyday
from test_placing import rows_for

from ticli.concept import Embedding
from ticli.families import FAMILIES
from ticli.generation import Drawing
from ticli.scoring import Counts, Prompts, Protocol, draw_protocol, places_of


@pytest.mark.parametrize("name", everyday(FAMILIES, "sd1", "sdxl"))
def test_pictures_come_from_the_prompts_own_noise_and_follow_the_word(models, name) -> None:
    model = models[name]
    size = model.source.size
    sampler, _, guidance = model.source.defaults
    # Random weights hardly listen to the prompt: guidance makes that little visible.
    how = Drawing(sampler, 2, guidance * 10, size, size)
    protocol = Protocol("", "", "", "", Prompts("a photo of a {}", (), ()), Counts(2, 1), how)
    words = [
        draw_protocol(model, "<mug>", {"mug": rows_for(model, seed=n)}, protocol) for n in (1, 2)
    ]
    one, other = (word.plain for word in words)
    assert [picture.size for picture in (*one, *other)] == [(size, size)] * 4
    assert one[0].tobytes() != one[1].tobytes()
    assert one[0].tobytes() != other[0].tobytes()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_word_of_the_vocabulary_is_its_own_nearest(models, name) -> None:
    model = models[name]
    numbers = {
        e.key: e.tokenizer("mug", add_special_tokens=False).input_ids[-1] for e in model.encoders
    }
    rows = {e.key: e.table[numbers[e.key]][None].float().numpy() for e in model.encoders}
    places = places_of(model, Embedding(rows), 2)
    assert set(places) == set(model.source.widths)
    for encoder in model.encoders:
        (place,) = places[encoder.key]
        assert place["nearest"][0]["cosine"] == pytest.approx(1.0, abs=1e-4)
        word = encoder.tokenizer.decode([numbers[encoder.key]]).strip()
        assert place["nearest"][0]["word"] == word
        assert place["norm"] == pytest.approx(
            float(torch.tensor(rows[encoder.key]).norm()), rel=1e-4
        )
