"""Vectors stand where a really added word would, in every encoder of every family."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_families import BUILDERS

PROMPT = "a photo of a <mug> mug, on the moon"


def rows_for(model, vectors: int = 2, seed: int = 1):
    generator = torch.Generator().manual_seed(seed)
    return {
        encoder.key: 0.1 * torch.randn(vectors, encoder.table.shape[1], generator=generator)
        for encoder in model.encoders
    }


def add_really(encoder, rows) -> None:
    """Give the tokenizer two more words and the table their rows, growing it where it must."""
    assert encoder.tokenizer.add_tokens(["<mug>", "<mug>_1"]) == 2
    first = encoder.tokenizer.convert_tokens_to_ids("<mug>")
    module = encoder.module
    if first + 2 > len(encoder.table):
        module.resize_token_embeddings(first + 2, mean_resizing=False)
    with torch.no_grad():
        module.get_input_embeddings().weight[first : first + 2] = rows
        encoder.table[first : first + 2] = rows
    if encoder.part.kind == "clip":
        text = getattr(module, "text_model", module)
        text.eos_token_id = encoder.tokenizer.eos_token_id


@pytest.mark.parametrize("name", BUILDERS)
def test_the_hook_equals_a_really_added_word(fresh_model, name):
    model = fresh_model(name)
    rows = rows_for(model)
    tokenised = model.tokenise(PROMPT, {"mug": 2}, negative=True)
    for encoder in model.encoders:
        hooked = encoder.encode([tokenised[encoder.key]], {"mug": rows})
        add_really(encoder, rows[encoder.key])
        text = PROMPT.replace("<mug>", "<mug> <mug>_1")
        # Both mark a space that stands before an added word, so it is left out here.
        if encoder.part.kind == "gemma":
            text = PROMPT.replace("<mug>", "<mug><mug>_1")
        tokens = encoder.tokenizer(
            text,
            padding="max_length",
            max_length=encoder.window,
            padding_side="right",
            return_tensors="pt",
        )
        masked = {"attention_mask": tokens.attention_mask} if encoder.part.masked else {}
        with torch.no_grad():
            added = encoder.module(tokens.input_ids, output_hidden_states=True, **masked)
        wanted = added.hidden_states[-2] if encoder.part.penultimate else added.last_hidden_state
        assert torch.allclose(hooked.hidden, wanted, atol=1e-6)
        assert torch.equal(hooked.mask, tokens.attention_mask) or encoder.part.kind == "clip"
        if encoder.part.pooled:
            pooled = added.text_embeds if encoder.part.projected else added.pooler_output
            assert torch.allclose(hooked.pooled, pooled, atol=1e-6)


@pytest.mark.parametrize("name", BUILDERS)
def test_every_encoder_feels_its_own_rows_and_no_others(models, name):
    """Changing one encoder's rows changes that encoder's part of the conditioning alone."""
    model = models[name]
    tokens = [model.tokenise(PROMPT, {"mug": 2})]
    rows = rows_for(model)
    plain = {e.key: e.encode([tokens[0][e.key]], {"mug": rows}).hidden for e in model.encoders}
    for encoder in model.encoders:
        for vector in range(2):
            changed = {key: value.clone() for key, value in rows.items()}
            changed[encoder.key][vector] += 0.5
            for other in model.encoders:
                now = other.encode([tokens[0][other.key]], {"mug": changed}).hidden
                same = torch.equal(now, plain[other.key])
                assert same is (other.key != encoder.key), (encoder.key, other.key, vector)
            joined = model.condition(tokens, {"mug": changed})
            before = model.condition(tokens, {"mug": rows})
            parts = [(joined.hidden, before.hidden)]
            if joined.pooled is not None:
                parts.append((joined.pooled, before.pooled))
            assert any(not torch.equal(a, b) for a, b in parts)


@pytest.mark.parametrize("name", ["sdxl", "sd3", "flux"])
def test_words_after_the_token_change_the_pooled_text(models, name):
    model = models[name]
    rows = {"mug": rows_for(model)}
    pooled = [
        model.condition([model.tokenise(text, {"mug": 2})], rows).pooled
        for text in ("a <mug> on the moon", "a <mug> on the beach")
    ]
    assert (pooled[0] - pooled[1]).abs().max() > 1e-3


def test_an_added_id_would_have_hidden_them(fresh_model):
    """What is guarded against: transformers pools at the largest id where a config says 2."""
    model = fresh_model("sdxl")
    encoder = model.encoders[1]
    rows = rows_for(model, 1)[encoder.key]
    encoder.tokenizer.add_tokens(["<mug>"])
    encoder.module.resize_token_embeddings(len(encoder.tokenizer), mean_resizing=False)
    with torch.no_grad():
        encoder.module.get_input_embeddings().weight[-1:] = rows
        pooled = [
            encoder.module(
                encoder.tokenizer(
                    text, padding="max_length", max_length=encoder.window, return_tensors="pt"
                ).input_ids
            ).text_embeds
            for text in ("a <mug> on the moon", "a <mug> on the beach")
        ]
    assert torch.equal(*pooled)


def test_gemma_rows_are_kept_in_the_units_of_its_table(models):
    """A row of the table itself, placed as a concept, is read as the word it belongs to."""
    (encoder,) = models["sana"].encoders
    word = encoder.tokenizer.convert_tokens_to_ids("▁mug")
    assert word != encoder.tokenizer.unk_token_id
    plain = models["sana"].tokenise("a photo of a mug", {})["gemma"]
    assert word in plain.ids
    spot = plain.ids.index(word)
    placed = models["sana"].tokenise("a photo of a<mug>", {"mug": 1})["gemma"]
    assert [slot.position for slot in placed.slots] == [spot]
    rows = {"mug": {"gemma": encoder.table[word : word + 1].detach()}}
    texts = encoder.encode([plain], {}).hidden, encoder.encode([placed], rows).hidden
    assert torch.allclose(*texts, atol=1e-6)


def test_an_instruction_is_read_and_not_passed_on(models):
    model = models["sana"]
    rows = {"mug": rows_for(model, 1)}
    with_it = model.tokenise("a <mug>", {"mug": 1})
    without = model.tokenise("a <mug>", {"mug": 1}, negative=True)
    assert with_it["gemma"].instruction and not without["gemma"].instruction
    assert len(with_it["gemma"].ids) == len(without["gemma"].ids) == 300
    both = model.condition([without, with_it], rows)
    assert both.hidden.shape[:2] == both.mask.shape == (2, 300)
    assert not torch.equal(both.hidden[0], both.hidden[1])
    alone = model.condition([with_it], rows)
    assert torch.allclose(alone.hidden[0], both.hidden[1], atol=1e-6)


def test_tables_are_never_shrunk(models):
    (encoder,) = models["pixart"].encoders
    before = encoder.table.shape
    assert before[0] > len(encoder.tokenizer)
    encoder.encode(
        [models["pixart"].tokenise("a <mug>", {"mug": 1})["t5"]],
        {"mug": rows_for(models["pixart"], 1)},
    )
    assert encoder.table.shape == before


@pytest.mark.parametrize("name", BUILDERS)
def test_padding_is_seen_only_where_an_encoder_says_so(models, name):
    """A prompt without its padding is read as with it, but by a T5 that is given no mask."""
    model = models[name]
    rows = {"mug": rows_for(model)}
    prompt = model.tokenise(PROMPT, {"mug": 2}, negative=True)
    for encoder in model.encoders:
        whole = prompt[encoder.key]
        assert whole.end + 1 < len(whole.ids)
        alone = replace(whole, ids=whole.ids[: whole.end + 1])
        read, bare = (
            encoder.encode([text], rows).hidden[:, : whole.end + 1] for text in (whole, alone)
        )
        assert torch.allclose(read, bare, atol=1e-5) == (not encoder.sees_padding)
