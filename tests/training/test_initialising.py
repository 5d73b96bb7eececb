"""`--init auto`: the photos choose the word, by what denoises them best, and the noun follows."""

from __future__ import annotations

import json

import pytest
import torch
from learning_runs import learn, make_photos, plan_for

from ticli.errors import BadContent, Usage
from ticli.inversion import (
    FINAL_SAMPLES,
    Examples,
    candidates,
    choose_init,
    draw_rule,
    encode,
    fixed_draw,
    keyed_generator,
    open_run,
    settled_plan,
)
from ticli.paths import places
from ticli.photos import nouns

FEW = {"init": "auto", "init_candidates": 20}


@pytest.fixture
def photos(tmp_path):
    return make_photos(tmp_path / "photos", 4)


@pytest.fixture
def choose(photos, tiny, tiny_folder):
    """choose(**knobs): what the photos choose, what was told, the plan and the latents."""

    def call(**knobs):
        plan, told = plan_for(photos, tiny_folder, **FEW | knobs), []
        with open_run(places().runs, plan.token.name, plan.identity()) as run:
            latents = encode(plan, run, tiny).learned
            found = choose_init(plan, run, tiny, latents, told.append)
        return found, told, plan, latents

    return call


def plain_loss(model, plan, latents, word: str) -> float:
    """The held-out loss of one word, written out sample by sample."""
    prompt = model.tokenise(f"a photo of a {word}", {})
    rule = draw_rule(model, Examples("mug", latents, [[prompt]] * len(latents.mean)), plan.recipe)
    drawn = fixed_draw(rule, FINAL_SAMPLES, keyed_generator(plan.seed, "init"))
    total = 0.0
    for k in range(FINAL_SAMPLES):
        photo = int(drawn.photos[k])
        z = latents.mean[photo, 0] + latents.spread[photo, 0] * drawn.spread[k]
        alpha = model.noise_schedule.alphas_cumprod[drawn.timesteps[k]]
        z_t = alpha.sqrt() * z + (1 - alpha).sqrt() * drawn.noise[k]
        with torch.no_grad():
            hidden = model.condition([prompt], {}).hidden
            answer = model.denoiser(z_t[None], drawn.timesteps[k], hidden).sample[0]
        total += float((answer - drawn.noise[k]).square().mean())
    return total / FINAL_SAMPLES


def test_the_word_of_lowest_loss_is_chosen_and_the_time_said(choose, tiny):
    found, told, plan, latents = choose(init_candidates=12)
    words = candidates(plan, tiny)
    assert len(words) == 12
    losses = {word: plain_loss(tiny, plan, latents, word) for word in words}
    best = sorted(words, key=lambda word: losses[word])
    # Twelve words all reach the finals, where every one is tried in earnest.
    assert [word.word for word in found] == best[:5]
    assert found[0].held_out == pytest.approx(losses[best[0]], rel=1e-4)
    assert "among 12" in told[0] and best[0] in told[1] and told[1].endswith(" s")


def test_candidates_are_single_tokens_in_the_order_of_the_list(photos, tiny, tiny_folder):
    words = candidates(plan_for(photos, tiny_folder, **FEW), tiny)
    read = tiny.encoders[0].tokenizer
    known = [
        word for word in nouns("object") if len(read(word, add_special_tokens=False).input_ids) == 1
    ]
    assert words == known[:20] and "teapot" in nouns("object") and "teapot" not in known


@pytest.mark.parametrize("kind", ["object", "style", "person"])
def test_every_kind_has_words_of_its_own(photos, tiny, tiny_folder, kind):
    words = candidates(plan_for(photos, tiny_folder, kind=kind, **FEW), tiny)
    assert 10 <= len(words) <= 20 and set(words) <= set(nouns(kind))


def test_the_noun_and_the_sentences_follow_the_word(photos, tiny_folder):
    plan = plan_for(photos, tiny_folder, **FEW)
    assert plan.noun_follows and plan.trigger == "<mug>"
    assert plan.sentences[0][0] == "a photo of a <mug>"
    settled = settled_plan(plan, "cup")
    assert settled.trigger == "<mug> cup" and settled.recipe.init == settled.recipe.noun == "cup"
    assert settled.sentences[0][0] == "a photo of a <mug> cup"
    for knobs, trigger in (({"noun": ""}, "<mug>"), ({"noun": "thing"}, "<mug> thing")):
        settled = settled_plan(plan_for(photos, tiny_folder, **FEW, **knobs), "cup")
        assert settled.trigger == trigger and settled.recipe.init == "cup"
    style = settled_plan(plan_for(photos, tiny_folder, **FEW, kind="style"), "cup")
    assert style.trigger == "<mug>" and style.recipe.noun == ""


def test_a_run_records_the_word_and_is_that_of_the_word(photos, tiny_folder):
    concept, rows = learn(plan_for(photos, tiny_folder, **FEW))
    words = concept.outcome.init_words
    assert len(words) == 5 and concept.init == concept.noun == words[0].word
    assert concept.recipe["init"] == words[0].word
    assert [word.held_out for word in words] == sorted(word.held_out for word in words)
    named, same = learn(plan_for(photos, tiny_folder, init=words[0].word))
    assert (rows.rows["clip_l"] == same.rows["clip_l"]).all()
    assert named.outcome.init_words == () and named.trigger == concept.trigger


def test_the_choice_is_kept_with_the_run(choose):
    first, told, _, _ = choose()
    assert told
    again, told, _, _ = choose()
    assert again == first and told == []
    path = places().runs / "mug" / "init.json"
    path.write_text(json.dumps([{"word": "cup"}]))
    with pytest.raises(BadContent, match=r"init\.json is damaged") as caught:
        choose()
    assert "--fresh" in caught.value.hint


def test_a_model_that_knows_none_of_the_words_is_told_so(photos, tiny, tiny_folder, monkeypatch):
    plan = plan_for(photos, tiny_folder, **FEW)
    monkeypatch.setattr("ticli.inversion.first_guess.nouns", lambda kind: ("xqzzy wug",))
    with pytest.raises(Usage, match="one token") as caught:
        candidates(plan, tiny)
    assert "--init WORD" in caught.value.hint


def test_a_plan_says_that_the_photos_choose(run, photos, tiny_folder):
    call = ("invert", str(photos), "-t", "mug", "-m", str(tiny_folder), "--init", "auto", "-n")
    result = run(*call)
    assert (
        result.code == 0 and "photos choose the word to start from, among up to 150" in result.err
    )
    assert "and the class word with it" in result.err
    assert "class word" not in run(*call, "--no-noun").err


def test_a_run_killed_while_choosing_chooses_again(photos, tiny, tiny_folder):
    plan = plan_for(photos, tiny_folder, **FEW)

    def die(_text: str) -> None:
        raise KeyboardInterrupt

    with open_run(places().runs, "mug", plan.identity()) as run:
        latents = encode(plan, run, tiny).learned
        with pytest.raises(KeyboardInterrupt):
            choose_init(plan, run, tiny, latents, die)
        assert not (run.path / "init.json").exists()
        again = encode(plan, run, tiny).learned
        assert torch.equal(again.mean, latents.mean)
        assert len(choose_init(plan, run, tiny, again, lambda text: None)) == 5
