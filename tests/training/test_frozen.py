"""Nothing but the new rows ever changes, and they stand where a really added word would."""

from __future__ import annotations

import torch
from stepping import train

from ticli.inversion import Examples, Latents, Start, new_state, start_vectors
from ticli.recipe import Recipe


def examples_for(model, vectors: int = 1, photos: int = 3) -> Examples:
    generator = torch.Generator().manual_seed(3)
    shape = (photos, 2, 4, 8, 8)
    latents = Latents(torch.randn(shape, generator=generator), torch.full(shape, 0.1))
    sentences = [
        model.tokenise(text, {"mug": vectors})
        for text in ("a photo of a <mug> mug", "an image of the <mug> mug")
    ]
    return Examples("mug", latents, [sentences] * photos)


def begin(model, recipe: Recipe, init: str = "mug"):
    vectors = start_vectors(model, Start(init, recipe.vectors, recipe.norm, 0))
    return examples_for(model, recipe.vectors), new_state(vectors, recipe)


def test_every_other_weight_is_bit_identical_after_training(tiny):
    parts = {"text": tiny.encoders[0].module, "unet": tiny.denoiser}
    before = {
        f"{part}.{name}": value.clone()
        for part, module in parts.items()
        for name, value in module.state_dict().items()
    }
    recipe = Recipe(steps=4, lr=0.1, batch=3)
    examples, state = begin(tiny, recipe)
    started = state.vectors.rows["clip_l"].detach().clone()
    list(train(tiny, examples, state, recipe, seed=0))
    assert not torch.equal(started, state.vectors.rows["clip_l"])
    for part, module in parts.items():
        for name, value in module.state_dict().items():
            assert torch.equal(before[f"{part}.{name}"], value), name
        assert all(p.grad is None and not p.requires_grad for p in module.parameters())


def test_only_the_new_rows_are_in_the_optimiser(tiny):
    _, state = begin(tiny, Recipe(vectors=3))
    (group,) = state.optimizer.param_groups
    assert [p.shape for p in group["params"]] == [(3, 32)]
    assert group["weight_decay"] == 0


def test_the_hook_equals_a_really_added_word(tiny):
    encoder = tiny.encoders[0]
    rows = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))
    prompt = "a photo of a <mug> mug, on the moon"
    hooked = tiny.condition([tiny.tokenise(prompt, {"mug": 2})], {"mug": {"clip_l": rows}}).hidden

    tokenizer = encoder.tokenizer
    assert tokenizer.add_tokens(["<mug>", "<mug>_1"]) == 2
    module = encoder.module
    module.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        module.get_input_embeddings().weight[-2:] = rows
        ids = tokenizer(
            prompt.replace("<mug>", "<mug> <mug>_1"),
            padding="max_length",
            max_length=48,
            return_tensors="pt",
        ).input_ids
        added = module(ids).last_hidden_state
    assert torch.equal(hooked, added)


def test_the_hook_is_gone_after_the_call(tiny):
    encoder = tiny.encoders[0]
    plain = tiny.condition([tiny.tokenise("a mug", {})], {}).hidden
    rows = {"mug": {"clip_l": torch.ones(1, 32)}}
    tiny.condition([tiny.tokenise("a <mug>", {"mug": 1})], rows)
    assert torch.equal(plain, tiny.condition([tiny.tokenise("a mug", {})], {}).hidden)
    assert not encoder.module.get_input_embeddings()._forward_hooks


def test_each_vector_changes_the_conditioning(tiny):
    tokens = [tiny.tokenise("a <mug> on the moon", {"mug": 3})]
    rows = torch.zeros(3, 32)
    plain = tiny.condition(tokens, {"mug": {"clip_l": rows}}).hidden
    for number in range(3):
        other = rows.clone()
        other[number] += 1
        assert not torch.equal(plain, tiny.condition(tokens, {"mug": {"clip_l": other}}).hidden)
