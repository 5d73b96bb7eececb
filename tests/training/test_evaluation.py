"""What a word is judged by: a fixed batch that nothing is trained on, and the drift of a prompt."""

from __future__ import annotations

import pytest
import torch
from learning_runs import begin, learn, make_photos, plan_for

from ticli.errors import Usage
from ticli.inversion import draw, draw_rule, open_run, spared_photo
from ticli.paths import places


@pytest.fixture
def loaded(tmp_path, tiny_folder):
    """loaded(count, **knobs): a run that has loaded so many photos and taken no step."""

    def load(count: int, **knobs):
        photos = tmp_path / f"photos-{count}"
        if not photos.exists():
            make_photos(photos, count)
        plan = plan_for(photos, tiny_folder, **knobs)
        with open_run(places().runs, plan.token.name, plan.identity(), fresh=True) as run:
            return begin(plan, run)

    return load


def test_the_held_out_loss_is_the_mean_over_eight_stratified_timesteps(loaded):
    training = loaded(3)
    judge, model = training.judge, training.model
    drawn, row = judge.draw, training.state.vectors.rows["clip_l"]
    assert sorted(((drawn.timesteps - 500) * 8 // 500).tolist()) == list(range(8))
    assert drawn.photos.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]

    def predicted(z_t, t, prompt):
        hidden = model.condition([prompt], {"mug": {"clip_l": row}}).hidden
        return model.denoiser(z_t, t, hidden).sample

    expected = loss_by_hand(training, judge.examples, predicted)
    assert judge.held_out(training.state.vectors) == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def loss_by_hand(training, examples, predicted) -> float:
    """The mean over the fixed batch of (noise − predicted(z_t, t, prompt))²."""
    drawn, latents, losses = training.judge.draw, examples.latents, []
    for k, t in enumerate(drawn.timesteps):
        photo = int(drawn.photos[k])
        z = latents.mean[photo, 0] + latents.spread[photo, 0] * drawn.spread[k]
        alpha = training.model.noise_schedule.alphas_cumprod[t]
        z_t = alpha.sqrt() * z + (1 - alpha).sqrt() * drawn.noise[k]
        own = bool(examples.private)
        answer = predicted(z_t[None], t, examples.prompt(photo, int(drawn.sentences[k]), own))
        losses.append(float((answer[0] - drawn.noise[k]).square().mean()))
    return sum(losses) / len(losses)


def test_a_word_is_judged_beside_its_negative_twin(loaded):
    """As it is trained: guided away from the twin; the class word away from the twin's start."""
    training = loaded(3, negative_vectors=2, negative_guidance=4.0)
    judge, model, vectors = training.judge, training.model, training.state.vectors
    twin = model.tokenise("<mug-neg>", {"mug-neg": 2})

    def guided_by(rows):
        def predicted(z_t, t, prompt):
            positive, negative = (
                model.denoiser(z_t, t, model.condition([one], rows).hidden).sample
                for one in (prompt, twin)
            )
            return negative + 4 * (positive - negative)

        return predicted

    start = {name: dict(rows) for name, rows in training.vectors_at_start(0).words("mug").items()}
    before = judge.held_out_init(vectors)
    with torch.no_grad():
        for row in vectors.parameters().values():
            row.add_(0.1)
    own = loss_by_hand(training, judge.examples, guided_by(vectors.words("mug")))
    assert judge.held_out(vectors) == pytest.approx(own, rel=1e-4)
    class_word = loss_by_hand(training, judge.plain, guided_by(start))
    assert judge.held_out_init(vectors) == before == pytest.approx(class_word, rel=1e-4)


def test_another_crop_is_judged_with_its_photos_own_word(loaded):
    """As it is trained, the class word beside the same words; a photo held out has none."""
    training = loaded(3, photo_words=0.5)
    judge, model, vectors = training.judge, training.model, training.state.vectors
    with torch.no_grad():
        for row in vectors.parameters().values():
            row.add_(0.1)

    def predicted(z_t, t, prompt):
        hidden = model.condition([prompt], vectors.words("mug")).hidden
        return model.denoiser(z_t, t, hidden).sample

    names = {
        slot.concept
        for prompts in judge.examples.private
        for prompt in prompts
        for slot in prompt["clip_l"].slots
    }
    assert names == {"mug", *(f"mug-of-photo-{photo}" for photo in range(3))}
    own = loss_by_hand(training, judge.examples, predicted)
    assert judge.held_out(vectors) == pytest.approx(own, rel=1e-4)
    class_word = loss_by_hand(training, judge.plain, predicted)
    assert judge.held_out_init(vectors) == pytest.approx(class_word, rel=1e-4)
    assert class_word != pytest.approx(own, rel=1e-4)
    spared = loaded(4, photo_words=0.5, hold_out="auto").judge
    assert not spared.examples.private and spared.draw.private is None


def test_a_caption_that_cuts_the_word_off_is_refused_on_the_photo_held_out(loaded, tmp_path):
    spared = loaded(4, hold_out="auto").judge.spared
    caption = tmp_path / "photos-4" / f"photo-{spared}.txt"
    caption.write_text("red " * 60 + "<mug>")
    with pytest.raises(Usage, match="<mug> would be cut off"):
        loaded(4, hold_out="auto", captions=True)
    caption.write_text("<mug> " + "red " * 60)
    assert loaded(4, hold_out="auto", captions=True).judge.spared == spared


def test_the_class_word_is_judged_in_the_same_sentences(loaded):
    training = loaded(3)
    texts = {
        training.model.encoders[0]
        .tokenizer.decode(prompt["clip_l"].ids[1 : prompt["clip_l"].end])
        .strip()
        for prompts in training.judge.plain.sentences
        for prompt in prompts
    }
    assert "a photo of a mug" in texts and not any("mug mug" in text for text in texts)
    assert all(not p["clip_l"].slots for ps in training.judge.plain.sentences for p in ps)
    vectors = training.state.vectors
    assert training.judge.held_out_init(vectors) != training.judge.held_out(vectors)


def test_noise_is_of_no_training_step(loaded):
    training = loaded(3)
    rule = draw_rule(training.model, training.examples, training.plan.recipe)
    for step in range(20):
        trained = draw(0, step, rule).noise
        assert not any(torch.equal(a, b) for a in training.judge.draw.noise for b in trained)


def test_four_photos_spare_one_and_three_do_not(loaded):
    training = loaded(4, hold_out="auto")
    spared = training.judge.spared
    assert spared == spared_photo(training.plan) and 0 <= spared < 4
    assert len(training.examples.latents.mean) == len(training.examples.sentences) == 3
    assert len(training.judge.examples.latents.mean) == 1
    trained = training.examples.latents.mean
    assert not any(torch.equal(training.judge.examples.latents.mean[0], one) for one in trained)
    assert len({spared_photo(plan_of_seed(training, seed)) for seed in range(30)}) == 4
    assert loaded(4, hold_out="never").judge.spared is None
    training = loaded(3, hold_out="auto")
    assert training.judge.spared is None and len(training.examples.latents.mean) == 3


def plan_of_seed(training, seed: int):
    from dataclasses import replace

    return replace(training.plan, seed=seed)


def test_other_crops_stand_in_for_a_photo(loaded):
    training = loaded(3)
    others, own = training.judge.examples.latents.mean, training.examples.latents.mean
    assert others.shape == own.shape
    assert not any(torch.equal(a, b) for a in others for b in own)


def test_a_spared_photo_is_never_learned_from(tmp_path, tiny_folder):
    from PIL import Image, ImageOps

    photos = make_photos(tmp_path / "photos", 4)
    plan = plan_for(photos, tiny_folder, hold_out="auto", evaluate_every=2)
    before, rows = learn(plan)
    spared = sorted(photos.iterdir())[before.outcome.held_out_photo]
    ImageOps.invert(Image.open(spared)).save(spared)
    after, same = learn(plan_for(photos, tiny_folder, hold_out="auto", evaluate_every=2))
    assert (rows.rows["clip_l"] == same.rows["clip_l"]).all()
    assert before.curves.held_out != after.curves.held_out
    assert before.curves.drift == after.curves.drift


def test_being_judged_changes_no_vector(tmp_path, tiny_folder):
    photos = make_photos(tmp_path / "photos", 3)
    often, rows = learn(plan_for(photos, tiny_folder, evaluate_every=1))
    seldom, same = learn(plan_for(photos, tiny_folder, evaluate_every=1000))
    assert (rows.rows["clip_l"] == same.rows["clip_l"]).all()
    assert often.curves.steps == (0, 1, 2, 3, 4, 5, 6) and seldom.curves.steps == (0, 6)
    assert often.curves.held_out[-1] == seldom.curves.held_out[-1]
    assert len(often.curves.drift) == len(often.curves.held_out) == 7


def test_drift_is_nothing_at_the_class_word_and_grows_away_from_it(loaded):
    from ticli.inversion import drift

    training = loaded(3, norm="free")
    model, context = training.model, training.judge.context
    start = training.state.vectors.start["clip_l"]
    found = [
        drift(model, context, {"mug": {"clip_l": start * factor}}) for factor in (1, 1.2, 2, -4)
    ]
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found == sorted(found) and found[-1] > 0.01


def test_drift_is_of_the_scenes_words_alone(loaded):
    training = loaded(3)
    context, encoder = training.judge.context, training.model.encoders[0]
    ids = context.prompts[0]["clip_l"].ids
    prompt = context.prompts[0]["clip_l"]
    words = encoder.tokenizer.decode(ids[context.begins["clip_l"] : prompt.end])
    assert words.strip() == "in a quiet garden"
    shape = context.reference["clip_l"][0].shape
    assert shape == (prompt.end - context.begins["clip_l"], 32)
