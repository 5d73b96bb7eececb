"""What weighs the loss and what is drawn: each option against its formula, computed here."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from stepping import train, training_loss
from test_frozen import examples_for
from test_runs import request_for

from ticli.inversion import (
    DrawRule,
    Start,
    Twin,
    Vectors,
    denoising_losses,
    draw,
    draw_rule,
    make_plan,
    new_state,
    snr_weights,
    start_vectors,
)
from ticli.library import Library
from ticli.names import private_name, twin_name
from ticli.recipe import Recipe

RULE = DrawRule(batch=6, photos=3, flip=True, sentences=2, timesteps=(0, 1000), shape=(4, 8, 8))
ALL = slice(0, 6)


def vectors_for(model, **changes) -> Vectors:
    return start_vectors(model, Start("mug", 1, "free", 0, **changes))


def errors_by_hand(model, examples, vectors, drawn) -> torch.Tensor:
    """(prediction − noise)² of every value, from the model's parts and the schedule's ᾱ."""
    z = examples.latents.mean[drawn.photos, drawn.mirrored.long()] + 0.1 * drawn.spread
    alpha = model.noise_schedule.alphas_cumprod[drawn.timesteps][:, None, None, None]
    z_t = alpha.sqrt() * z + (1 - alpha).sqrt() * drawn.noise
    prompts = [examples.sentences[0][int(k)] for k in drawn.sentences]
    hidden = model.condition(prompts, {"mug": vectors.rows}).hidden
    return (model.denoiser(z_t, drawn.timesteps, hidden).sample - drawn.noise).square()


def test_the_training_loss_is_the_mean_of_the_samples(tiny):
    examples, vectors, drawn = examples_for(tiny), vectors_for(tiny), draw(0, 1, RULE)
    losses = denoising_losses(tiny, examples, vectors, drawn, ALL)
    by_hand = errors_by_hand(tiny, examples, vectors, drawn)
    assert losses.shape == (6,) and losses.dtype == torch.float32
    assert torch.allclose(losses, by_hand.mean((1, 2, 3)), atol=1e-6)
    loss = training_loss(tiny, examples, vectors, drawn, ALL)
    assert torch.allclose(loss, by_hand.mean(), atol=1e-6)


def test_masks_weigh_each_picture_by_itself(tiny):
    """Twice the weight everywhere changes nothing; a mask leaves out what it covers."""
    masks = torch.rand(3, 2, 1, 8, 8, generator=torch.Generator().manual_seed(4))
    examples = replace(examples_for(tiny), masks=masks)
    vectors, drawn = vectors_for(tiny), draw(0, 1, RULE)
    by_hand = errors_by_hand(tiny, examples, vectors, drawn)
    wanted = []
    for sample in range(6):
        mask = masks[drawn.photos[sample], int(drawn.mirrored[sample]), 0]
        wanted.append((by_hand[sample] * mask).sum() / (4 * mask.sum()))
    loss = training_loss(tiny, examples, vectors, drawn, ALL)
    assert torch.allclose(loss, torch.stack(wanted).mean(), atol=1e-6)
    doubled = replace(examples, masks=2 * masks)
    assert torch.allclose(loss, training_loss(tiny, doubled, vectors, drawn, ALL), atol=1e-6)
    plain = replace(examples, masks=torch.ones_like(masks))
    unweighted = training_loss(tiny, examples_for(tiny), vectors, drawn, ALL)
    assert torch.allclose(training_loss(tiny, plain, vectors, drawn, ALL), unweighted, atol=1e-6)
    # So do the samples' own losses, by which a word is judged; they know no mean over a batch.
    losses = denoising_losses(tiny, examples, vectors, drawn, ALL)
    assert torch.allclose(losses, torch.stack(wanted), atol=1e-6)
    bare = denoising_losses(tiny, examples_for(tiny), vectors, drawn, ALL)
    assert torch.allclose(bare, by_hand.mean((1, 2, 3)), atol=1e-6)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_min_snr_weighs_the_timesteps(tiny, kind):
    tiny.noise_schedule.register_to_config(prediction_type=kind)
    timesteps = torch.tensor([0, 100, 400, 900])
    alpha = tiny.noise_schedule.alphas_cumprod[timesteps].double()
    snr = (alpha / (1 - alpha)).tolist()
    over = 1 if kind == "v_prediction" else 0
    wanted = [min(5.0, value) / (value + over) for value in snr]
    found = snr_weights(tiny, timesteps, 5.0)
    assert found.tolist() == pytest.approx(wanted, rel=1e-4)
    # γ cuts where there is little noise, and nothing where there is much.
    assert snr[0] > 5 > snr[-1]
    vectors, drawn = vectors_for(tiny), draw(0, 1, RULE)
    examples = replace(examples_for(tiny), min_snr=5.0)
    losses = denoising_losses(tiny, examples, vectors, drawn, ALL)
    weights = snr_weights(tiny, drawn.timesteps, 5.0)
    loss = training_loss(tiny, examples, vectors, drawn, ALL)
    assert torch.allclose(loss, (losses * weights).mean(), atol=1e-5)


def test_the_twin_guides_the_prediction_inside_the_loss(tiny):
    vectors = vectors_for(tiny, negative=2)
    prompt = tiny.tokenise("<mug-neg>", {twin_name("mug"): 2})
    examples = replace(examples_for(tiny), twin=Twin(prompt, 3.0))
    drawn = draw(0, 1, RULE)
    z = examples.latents.mean[drawn.photos, drawn.mirrored.long()] + 0.1 * drawn.spread
    z_t = tiny.noise_schedule.add_noise(z, drawn.noise, drawn.timesteps)

    def predicted(prompts, rows):
        hidden = tiny.condition(prompts, rows).hidden
        return tiny.denoiser(z_t, drawn.timesteps, hidden).sample

    positive = predicted(
        [examples.sentences[0][int(k)] for k in drawn.sentences], {"mug": vectors.rows}
    )
    negative = predicted([prompt] * 6, {"mug-neg": vectors.negative})
    guided = negative + 3.0 * (positive - negative)
    loss = training_loss(tiny, examples, vectors, drawn, ALL)
    assert torch.allclose(loss, (guided - drawn.noise).square().mean(), atol=1e-5)
    loss.backward()
    assert all(row.grad.abs().sum() > 0 for row in vectors.parameters().values())


def test_the_twin_starts_at_the_end_token(tiny):
    """A prompt of end tokens is what an empty prompt is padded with, so it starts as one."""
    vectors = vectors_for(tiny, negative=2)
    table = tiny.encoders[0].table
    assert torch.equal(vectors.negative["clip_l"], table[[4095, 4095]])
    rows = {"mug-neg": vectors.negative}
    twin = tiny.condition([tiny.tokenise("<mug-neg>", {"mug-neg": 2})], rows).hidden
    empty = tiny.condition([tiny.tokenise("", {})], {}).hidden
    assert torch.allclose(twin, empty, atol=1e-5)


def private_examples(model, vectors: int = 1):
    plain = examples_for(model, vectors)
    private = [
        [
            model.tokenise(
                f"a photo of a <mug> with <{private_name('mug', photo)}>",
                {"mug": vectors, private_name("mug", photo): 1},
            )
        ]
        for photo in range(3)
    ]
    return replace(plain, private=private)


def test_a_photos_own_word_is_trained_by_that_photo_alone(tiny):
    vectors, examples = vectors_for(tiny, photos=3), private_examples(tiny)
    drawn = draw(0, 1, replace(RULE, private=0.5))
    assert drawn.private.any() and not drawn.private.all()
    training_loss(tiny, examples, vectors, drawn, ALL).backward()
    moved = vectors.private["clip_l"].grad.abs().sum(1) > 0
    seen = {int(photo) for photo, own in zip(drawn.photos, drawn.private, strict=True) if own}
    assert {number for number in range(3) if moved[number]} == seen


def test_the_share_of_private_words_is_drawn_beside_everything_else():
    plain, mixed = draw(0, 4, RULE), draw(0, 4, replace(RULE, private=0.25))
    assert plain.private is None
    for name in ("photos", "mirrored", "sentences", "timesteps", "spread", "noise"):
        assert torch.equal(getattr(plain, name), getattr(mixed, name)), name
    rule = replace(RULE, private=0.25, shape=(1,))
    share = torch.cat([draw(0, step, rule).private for step in range(200)]).float().mean()
    assert 0.2 < float(share) < 0.3


@pytest.mark.parametrize(
    ("law", "low", "middle", "high"),
    # Shares of the lowest, middle and highest third, by the inverses: 1 − ∛(1 − t), Φ(logit t).
    [
        ("uniform", 1 / 3, 1 / 3, 1 / 3),
        ("cubic", 0.1264, 0.1802, 0.6934),
        ("logit-normal", 0.2441, 0.5118, 0.2441),
    ],
)
def test_timesteps_follow_their_law_within_the_range(law, low, middle, high):
    rule = DrawRule(16, 3, False, 2, (400, 1000), (1,), law=law)
    drawn = torch.cat([draw(0, step, rule).timesteps for step in range(150)])
    assert drawn.min() >= 400 and drawn.max() < 1000
    thirds = torch.bincount((drawn - 400) // 200, minlength=3) / len(drawn)
    assert thirds.tolist() == pytest.approx([low, middle, high], abs=0.01)


@pytest.mark.parametrize(
    ("told", "least"),
    [
        ({}, 500),
        ({"kind": "style"}, 0),
        ({"kind": "style", "timestep_low": 300}, 300),
        ({"timestep_low": 0}, 0),
    ],
)
def test_a_style_is_also_learned_where_its_grain_is(tiny, photos, tiny_folder, told, least):
    plan = make_plan(request_for(photos, tiny_folder, **told), Library.open())
    assert plan.recipe.timestep_low == least
    for recipe in (plan.recipe, Recipe(**told)):
        assert draw_rule(tiny, examples_for(tiny), recipe).timesteps == (least, 1000)


def learned(model, examples, recipe: Recipe, **start) -> Vectors:
    begin = Start("mug", recipe.vectors, recipe.norm, 0, **start)
    state = new_state(start_vectors(model, begin), recipe)
    list(train(model, examples, state, recipe, seed=0))
    return state.vectors


def test_private_words_stay_with_the_run(tiny):
    recipe = Recipe(steps=3, batch=3, photo_words=0.5, lr=0.05)
    vectors = learned(tiny, private_examples(tiny), recipe, photos=3)
    assert vectors.rows["clip_l"].shape == (1, 32)
    plain = learned(tiny, examples_for(tiny), replace(recipe, photo_words=0.0))
    assert not torch.equal(vectors.rows["clip_l"], plain.rows["clip_l"])
