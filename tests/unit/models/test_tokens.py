"""Tokenising: placeholders take slots, the rest is what the model's own tokenizer makes of it."""

from __future__ import annotations

import pytest

from ticli.errors import DeviceFailed, Usage
from ticli.models import load_tokenizer, pick_hardware, tokenise
from ticli.models.locate import starter


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(starter())


def ids(tokenizer, prompt: str) -> tuple[int, ...]:
    return tuple(tokenizer(prompt, padding="max_length", max_length=48).input_ids)


@pytest.mark.parametrize(
    "prompt", ["", "a photo of a mug", "A Mug, on the MOON!", "I <3 a < b", "  spaces  ", "café"]
)
def test_text_is_tokenised_as_the_model_does(tokenizer, prompt):
    assert tokenise(tokenizer, 48, prompt, {}).ids == ids(tokenizer, prompt)


def test_placeholders_take_a_slot_a_vector(tokenizer):
    found = tokenise(tokenizer, 48, "a <Mug> and <cat>", {"mug": 2, "cat": 1})
    assert [(s.position, s.concept, s.vector) for s in found.slots] == [
        (2, "mug", 0),
        (3, "mug", 1),
        (5, "cat", 0),
    ]
    assert found.ids[6] == tokenizer.eos_token_id and found.end == 6 and len(found.ids) == 48
    assert all(found.ids[s.position] < tokenizer.eos_token_id for s in found.slots)


def test_an_unknown_placeholder_is_text(tokenizer):
    prompt = "a <mug> on <this>"
    assert tokenise(tokenizer, 48, prompt, {}).ids == ids(tokenizer, prompt)


def test_what_falls_outside_is_told(tokenizer):
    found = tokenise(tokenizer, 48, "mug " * 45 + "moon <cat> beach", {"cat": 2})
    assert len(found.ids) == 48 and found.lost == ("cat",) and found.cut == "beach"
    found = tokenise(tokenizer, 48, "<cat> " + "mug " * 50, {"cat": 2})
    assert found.lost == () and found.cut.startswith("mug")


def test_hardware_that_is_not_there():
    assert pick_hardware("cpu").describe() == "cpu (fp32)"
    with pytest.raises(Usage):
        pick_hardware("cpu", "fp16")
    with pytest.raises(Usage):
        pick_hardware("cuda:x")
    with pytest.raises(DeviceFailed) as caught:
        pick_hardware("cuda:99")
    assert caught.value.exit_code == 6
