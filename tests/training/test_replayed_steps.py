"""A recorded step, run here without being captured, is the plain one to the bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from learning_runs import make_photos, plan_for
from recording import Running
from stepping import train
from test_frozen import begin, examples_for
from tiny import WIDTH

from ticli.inversion import (
    TIMED,
    UNUSED,
    Examples,
    Learner,
    Replayer,
    Start,
    build_context,
    context_distance,
    gradients,
    make_learner,
    new_state,
    recorded_steps,
    replayer_for,
    start_vectors,
    take_step,
)
from ticli.inversion.recorded_steps import MOST
from ticli.models import Savings
from ticli.paths import places
from ticli.recipe import Recipe


def rows_after(model, recipe: Recipe, make=begin) -> torch.Tensor:
    examples, state = make(model, recipe)
    losses = [step.loss for step in train(model, examples, state, recipe, seed=0)]
    rows = torch.cat([row.detach().flatten() for row in state.vectors.parameters().values()])
    return torch.cat([rows, torch.tensor(losses)])


def with_masks(model, recipe: Recipe):
    examples, state = begin(model, recipe)
    masks = torch.rand(3, 2, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    return (
        Examples("mug", examples.latents, examples.sentences, masks=masks, min_snr=5.0),
        state,
    )


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(steps=6, lr=0.05, batch=3),
        Recipe(steps=6, lr=0.05, batch=2, accumulate=3, vectors=3, norm="free"),
        Recipe(steps=6, lr=0.05, batch=2, pull=0.1, norm="pull"),
    ],
    ids=["batch", "accumulated", "pulled"],
)
@pytest.mark.parametrize("make", [begin, with_masks], ids=["plain", "weighed"])
def test_a_replayed_run_has_the_plain_runs_bits(tiny, recipe, make):
    expected = rows_after(tiny, recipe, make)
    record = Running()
    tiny.replayer = Replayer(record)
    assert torch.equal(rows_after(tiny, recipe, make), expected)
    batches = recipe.steps * recipe.accumulate
    assert record.recorded == 1 and record.replays == batches - 1


def test_buffers_stay_where_they_are(tiny):
    recipe = Recipe(steps=5, lr=0.05, batch=3)
    tiny.replayer = Replayer(Running())
    examples, state = begin(tiny, recipe)
    places_of = []
    for _ in train(tiny, examples, state, recipe, seed=0):
        for recorded in tiny.replayer.kept.values():
            losses, found = recorded.outputs
            tensors = [*recorded.buffers.values(), losses, *found]
            places_of.append([tensor.data_ptr() for tensor in tensors])
    assert len(places_of) == 4 and all(place == places_of[0] for place in places_of)


def learner(model, name: str, seed: int, batch: int) -> Learner:
    recipe = Recipe(steps=9, lr=0.05, batch=batch, norm="free")
    plain = examples_for(model)
    sentences = [[model.tokenise(f"a photo of a <{name}> mug", {name: 1})]] * 3
    state = new_state(start_vectors(model, Start("mug", 1, "free", 0)), recipe)
    return make_learner(model, Examples(name, plain.latents, sentences), state, recipe, seed)


def test_words_that_learn_together_are_replayed_together(tiny):
    def learned() -> list[torch.Tensor]:
        learners = [learner(tiny, "mug", 0, 2), learner(tiny, "cup", 1, 3)]
        for _ in range(4):
            for each, loss in zip(learners, gradients(tiny, learners), strict=True):
                take_step(each, loss, 0.0)
        return [each.state.vectors.rows["clip_l"].detach() for each in learners]

    expected = learned()
    record = Running()
    tiny.replayer = Replayer(record)
    for mine, theirs in zip(learned(), expected, strict=True):
        assert torch.equal(mine, theirs)
    assert record.recorded == 1 and record.replays == 3


def test_another_word_takes_the_same_recorded_step(tiny):
    def learned(name: str, seed: int) -> torch.Tensor:
        own = learner(tiny, name, seed, 3)
        for _ in range(3):
            take_step(own, *gradients(tiny, [own]), 0.0)
        return own.state.vectors.rows["clip_l"].detach()

    expected = [learned("mug", 0), learned("cup", 1)]
    record = Running()
    tiny.replayer = Replayer(record)
    for mine, theirs in zip([learned("mug", 0), learned("cup", 1)], expected, strict=True):
        assert torch.equal(mine, theirs)
    assert record.recorded == 1 and record.replays == 5


def test_batches_of_another_shape_are_recorded_apart_and_idle_ones_let_go(tiny):
    record = Running()
    tiny.replayer = Replayer(record)
    several = [learner(tiny, "mug", 0, batch) for batch in range(1, MOST + 3)]
    for _ in range(4):
        for own in several:
            gradients(tiny, [own])
    # Those that come in turn would else be recorded again and again.
    assert record.recorded == MOST == len(tiny.replayer.kept)
    for _ in range(UNUSED + 2):
        gradients(tiny, several[-1:])
    assert record.recorded == MOST + 1 and len(tiny.replayer.kept) == MOST


def test_photos_own_words_are_taken_plainly(tiny):
    from ticli.names import private_name

    recipe = Recipe(steps=4, lr=0.05, batch=3, photo_words=1.0, norm="free")

    def make(model, _recipe):
        vectors = start_vectors(model, Start("mug", 1, "free", 0, photos=3))
        plain = examples_for(model)
        own = []
        for photo in range(3):
            name = private_name("mug", photo)
            own.append([model.tokenise(f"a <mug> with <{name}>", {"mug": 1, name: 1})])
        examples = Examples("mug", plain.latents, plain.sentences, private=own)
        return examples, new_state(vectors, recipe)

    expected = rows_after(tiny, recipe, make)
    record = Running()
    tiny.replayer = Replayer(record)
    assert torch.equal(rows_after(tiny, recipe, make), expected) and not record.recorded


def test_a_device_that_records_nothing_stays_eager_and_says_so_once(tiny):
    def refuse(_function):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    recipe = Recipe(steps=5, lr=0.05, batch=3)
    expected = rows_after(tiny, recipe)
    heard: list[str] = []
    tiny.tell, tiny.replayer = heard.append, Replayer(refuse)
    assert torch.equal(rows_after(tiny, recipe), expected)
    assert heard == [
        "steps cannot be recorded as a CUDA graph and stay eager: "
        "operation not permitted when stream is capturing"
    ]
    given_up = ["steps cannot be recorded as a CUDA graph and stay eager"]
    assert tiny.given_up == given_up
    tiny.replayer = Replayer(refuse)
    rows_after(tiny, recipe)
    assert tiny.given_up == given_up, "a second run on the model says it again, and notes it once"
    assert heard[1:] == heard[:1]


def test_a_full_device_goes_down_the_ladder_while_recording(tiny):
    def full(_function):
        raise torch.OutOfMemoryError("CUDA out of memory")

    recipe = Recipe(steps=4, lr=0.05, batch=4, norm="free")
    expected = rows_after(tiny, recipe)
    tiny.replayer = Replayer(full)
    assert torch.allclose(rows_after(tiny, recipe), expected, atol=1e-5)
    assert tiny.savings == Savings(samples=2) and tiny.replayer is None


def test_nothing_is_recorded_where_more_is_done_than_launched(tiny):
    record = Running()
    tiny.spare(Savings(cut=True), "asked for")
    tiny.replayer = Replayer(record)
    rows_after(tiny, Recipe(steps=4, lr=0.05, batch=3))
    assert not record.recorded


def test_the_cpu_has_no_replayer(tiny):
    assert replayer_for(tiny) is None


def test_the_denoiser_is_compiled_once_the_steps_left_repay_it(tiny, monkeypatch):
    compiled = []

    def compile_it(denoiser):
        compiled.append(denoiser)
        return denoiser

    recipe = Recipe(steps=TIMED + 20, lr=0.05, batch=2)
    expected = rows_after(tiny, recipe)
    record = Running()
    tiny.replayer = Replayer(record, compile_it)
    assert torch.equal(rows_after(tiny, recipe), expected)
    assert not compiled, "twenty short steps do not repay what compiling is thought to take"
    monkeypatch.setattr(recorded_steps, "UNKNOWN_COST", 0.0)
    tiny.replayer = Replayer(record, compile_it)
    assert torch.equal(rows_after(tiny, recipe), expected)
    assert compiled == [tiny.denoiser]
    assert (places().cache / recorded_steps.FILE).exists()


def test_a_compiler_that_fails_is_named_and_steps_go_on(tiny, monkeypatch):
    def fail(_denoiser):
        raise ImportError("no ptxas")

    monkeypatch.setattr(recorded_steps, "UNKNOWN_COST", 0.0)
    recipe = Recipe(steps=TIMED + 4, lr=0.05, batch=2)
    expected = rows_after(tiny, recipe)
    heard: list[str] = []
    tiny.tell, tiny.replayer = heard.append, Replayer(Running(), fail)
    assert torch.equal(rows_after(tiny, recipe), expected)
    assert heard == ["the denoiser stays uncompiled: no ptxas"]
    assert tiny.given_up == ["the denoiser stays uncompiled"]


def test_what_compiling_costs_is_remembered(isolated):
    assert recorded_steps.cost_of("a U-Net") == recorded_steps.UNKNOWN_COST
    recorded_steps.remember_cost("a U-Net", 12.34)
    recorded_steps.remember_cost("another", 5.0)
    assert recorded_steps.cost_of("a U-Net") == 12.3
    assert recorded_steps.repays(0.04, 10_000, 12.3) and not recorded_steps.repays(0.04, 400, 12.3)
    for text in ("[]", "{", '{"a U-Net": "long"}'):
        (places().cache / recorded_steps.FILE).write_text(text)
        assert recorded_steps.cost_of("a U-Net") == recorded_steps.UNKNOWN_COST


def test_what_compiling_lacks_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert recorded_steps.obstacle() == "there is no Triton"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setenv("PATH", "")
    assert recorded_steps.obstacle() == "there is no C compiler"


@pytest.mark.parametrize("vectors", [1, 3])
def test_the_context_of_a_word_is_replayed_beside_its_loss(tiny, tmp_path, tiny_folder, vectors):
    plan = plan_for(make_photos(tmp_path / "photos", 2), tiny_folder, context=0.5, vectors=vectors)
    context = build_context(tiny, plan, vectors)
    recipe = Recipe(steps=5, lr=0.05, batch=3, context=0.5, vectors=vectors, norm="free")

    def make(model, _recipe):
        examples, state = begin(model, recipe)
        return replace(examples, context=context), state

    expected = rows_after(tiny, recipe, make)
    without = rows_after(tiny, recipe)
    assert not torch.allclose(expected, without, atol=1e-3)
    record = Running()
    tiny.replayer = Replayer(record)
    assert torch.allclose(rows_after(tiny, recipe, make), expected, atol=1e-4)
    # One for the loss and one for the context, each from its second time on.
    assert record.recorded == 2 and record.replays == 2 * (recipe.steps - 1)


def test_a_replayed_context_has_the_plain_gradient(tiny, tmp_path, tiny_folder):
    plan = plan_for(make_photos(tmp_path / "photos", 2), tiny_folder, context=0.5)
    context = build_context(tiny, plan, 1)
    numbers = [0, 3, 1]
    row = torch.nn.Parameter(torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(2)))
    (0.5 * context_distance(tiny, context, {"clip_l": row}, numbers)).backward()
    expected, row.grad = row.grad, None
    replayer = Replayer(Running())
    assert not replayer.add_context_gradient(tiny, context, {"clip_l": row}, numbers, 0.5)
    assert replayer.add_context_gradient(tiny, context, {"clip_l": row}, numbers, 0.5)
    assert torch.allclose(row.grad, expected, rtol=1e-4, atol=1e-8)


def test_a_replayed_context_is_never_compiled(tiny, tmp_path, tiny_folder):
    plan = plan_for(make_photos(tmp_path / "photos", 2), tiny_folder, context=0.5)
    context = build_context(tiny, plan, 1)
    row = torch.nn.Parameter(torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(2)))
    replayer = Replayer(Running(), compiled=lambda denoiser: pytest.fail("it was compiled"))
    replayed = [
        replayer.add_context_gradient(tiny, context, {"clip_l": row}, [0, 3, 1], 0.5)
        for _ in range(TIMED + 3)
    ]
    assert replayed == [False, *[True] * (TIMED + 2)]
