"""What a word does to the words around it, and vectors that join one after the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from learning_runs import advance, begin
from stepping import train
from test_frozen import examples_for
from test_runs import request_for

from ticli.inversion import (
    Context,
    Stage,
    Start,
    build_context,
    context_distance,
    finish,
    keyed_generator,
    make_plan,
    new_state,
    open_run,
    regularise,
    start_vectors,
)
from ticli.library import Library
from ticli.paths import places
from ticli.photos import contexts
from ticli.recipe import Recipe


def context_for(model, photos, folder, vectors: int = 1, **changes) -> Context:
    request = request_for(photos, folder, context=0.5, vectors=vectors, **changes)
    return build_context(model, make_plan(request, Library.open()), vectors)


def class_rows(model, words: str = "mug") -> dict[str, torch.Tensor]:
    encoder = model.encoders[0]
    ids = encoder.tokenizer(words, add_special_tokens=False).input_ids
    return {"clip_l": encoder.table[ids].clone()}


@pytest.mark.parametrize(("vectors", "init"), [(1, "mug"), (2, "red mug")])
def test_a_word_that_stands_at_its_class_word_has_moved_nothing(
    tiny, photos, tiny_folder, vectors, init
):
    context = context_for(tiny, photos, tiny_folder, vectors, init=init)
    every = range(len(context.prompts))
    distance = context_distance(tiny, context, class_rows(tiny, init), every)
    assert float(distance) == pytest.approx(0, abs=1e-6)


def test_the_distance_is_that_of_the_other_words_outputs(tiny, photos, tiny_folder):
    context = context_for(tiny, photos, tiny_folder)
    text = contexts("object", "auto", "mug")
    rows = {"clip_l": torch.randn(1, 32, generator=torch.Generator().manual_seed(2))}
    encoder = tiny.encoders[0]
    wanted = []
    for number in (3, 0):
        before, after = text[number].split("{}")
        # The trigger is the token and its noun, so that a second "mug" is part of the context.
        words = [before, "mug", "mug" + after]
        counts = [len(encoder.tokenizer(w, add_special_tokens=False).input_ids) for w in words]
        prompt = tiny.tokenise(text[number].replace("{}", "<mug> mug"), {"mug": 1})
        plain, moved = (
            tiny.condition([prompt], {"mug": vectors}).hidden[0]
            for vectors in (class_rows(tiny), rows)
        )
        # Position 0 is the start; after the last word comes the end.
        slot = 1 + counts[0]
        places = [*range(1, slot), *range(slot + 1, slot + 1 + counts[2] + 1)]
        cosine = torch.nn.functional.cosine_similarity(plain[places], moved[places], dim=1)
        wanted.append(1 - cosine.mean())
    distance = context_distance(tiny, context, rows, [3, 0])
    assert float(distance) == pytest.approx(float(sum(wanted) / 2), abs=1e-6)
    assert float(distance) > 1e-4


def test_the_regulariser_adds_its_weighted_gradient_drawn_by_seed_and_step(
    tiny, photos, tiny_folder
):
    context = context_for(tiny, photos, tiny_folder)
    examples = replace(examples_for(tiny), context=context)
    recipe = Recipe(context=0.5, batch=3, norm="free")
    vectors = start_vectors(tiny, Start("random", 1, "free", 0))
    vectors.rows["clip_l"].grad = torch.ones(1, 32)
    regularise(tiny, examples, vectors, recipe, (7, 4))
    generator = keyed_generator(7, "context", 4)
    numbers = torch.randint(len(context.prompts), (3,), generator=generator).tolist()
    row = vectors.rows["clip_l"].detach().clone().requires_grad_()
    (0.5 * context_distance(tiny, context, {"clip_l": row}, numbers)).backward()
    assert row.grad.abs().sum() > 0
    assert torch.allclose(vectors.rows["clip_l"].grad, 1 + row.grad, atol=1e-6)


def test_the_regulariser_keeps_the_context_nearer(tiny, photos, tiny_folder):
    context = context_for(tiny, photos, tiny_folder)
    plain = examples_for(tiny)

    def distance(weight: float) -> float:
        recipe = Recipe(steps=8, lr=0.05, norm="free", schedule="constant", context=weight)
        state = new_state(start_vectors(tiny, Start("mug", 1, "free", 0)), recipe)
        examples = replace(plain, context=context if weight else None)
        list(train(tiny, examples, state, recipe, seed=0))
        every = range(len(context.prompts))
        rows = {key: row.detach() for key, row in state.vectors.rows.items()}
        return float(context_distance(tiny, context, rows, every))

    assert distance(50.0) < 0.8 * distance(0.0)


def test_sentences_of_a_set_have_one_place_and_are_not_those_that_score():
    from ticli.scoring import OBJECTS, STYLES

    for chosen, judged in (("living", OBJECTS), ("things", OBJECTS), ("styles", STYLES)):
        sentences = contexts("object", chosen, "mug")
        assert len(set(sentences)) == len(sentences) >= 24
        assert all(text.count("{}") == 1 for text in sentences)
        assert not [text for text in sentences for scene in judged.bare if scene in text]


@pytest.mark.parametrize(
    ("kind", "word", "chosen"),
    [
        ("object", "mug", "things"),
        ("object", "tabby cat", "living"),
        ("person", "mug", "living"),
        ("style", "painting", "styles"),
    ],
)
def test_the_set_goes_by_what_the_photos_show(kind, word, chosen):
    assert contexts(kind, "auto", word) == contexts("object", chosen, "mug")


def test_vectors_join_one_after_the_other(tiny):
    """The second stays at its start for two steps and moves in the third as it would anew."""
    stages = [Stage(examples_for(tiny, vectors).sentences) for vectors in (1, 2)]
    examples = replace(examples_for(tiny, 3), earlier=stages)
    recipe = Recipe(steps=6, vectors=3, extend_every=2, lr=0.05, schedule="constant", norm="free")
    state = new_state(start_vectors(tiny, Start("red mug", 3, "free", 0)), recipe)
    start = state.vectors.rows["clip_l"].detach().clone()
    moved = []
    for _ in train(tiny, examples, state, recipe, seed=0):
        now = state.vectors.rows["clip_l"].detach()
        moved.append([not torch.equal(now[row], start[row]) for row in range(3)])
    alone, pair, whole = [True, False, False], [True, True, False], [True, True, True]
    assert moved == [alone, alone, pair, pair, whole, whole]


def test_a_preview_shows_the_vectors_that_the_word_has_by_then(photos, tiny_folder):
    request = request_for(photos, tiny_folder, vectors=3, extend_every=2)
    plan = make_plan(request, Library.open())
    counts = []
    with open_run(places().runs, "mug", plan.identity()) as run:
        training = begin(plan, run)
        for _ in advance(training, lambda: None):
            counts.append(len(training.rows()["mug"]["clip_l"]))
        finish(run)
    assert counts == [1, 2, 2, 3, 3, 3]


def test_a_row_that_joins_takes_its_first_step_by_fresh_moments(tiny):
    """AdamW's first step is the rate in every number, whatever came before the row joined."""
    examples = replace(examples_for(tiny, 2), earlier=[Stage(examples_for(tiny).sentences)])
    recipe = Recipe(
        steps=41, vectors=2, extend_every=40, lr=0.01, schedule="constant", norm="free", clip=0.0
    )
    state = new_state(start_vectors(tiny, Start("red mug", 2, "free", 0)), recipe)
    start = state.vectors.rows["clip_l"].detach()[1].clone()
    list(train(tiny, examples, state, recipe, seed=0))
    step = (state.vectors.rows["clip_l"].detach()[1] - start).abs()
    assert step.median() == pytest.approx(0.01, rel=0.02)


def test_without_a_class_word_it_is_left_out_and_said(photos, tiny_folder):
    made = make_plan(request_for(photos, tiny_folder, context=0.5, init="random"), Library.open())
    assert made.recipe.context == 0.0
    assert any("context is left out" in note for note in made.notes)
    kept = make_plan(request_for(photos, tiny_folder, context=0.5, init="red"), Library.open())
    assert kept.recipe.context == 0.5 and not any("context" in note for note in kept.notes)
