"""Words that learn side by side: each to the vectors it would have alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learning_runs import learn, make_photos, plan_for
from recording import Running

from ticli.errors import Conflict, DeviceFailed, Diverged, Stopped
from ticli.inversion import (
    Engine,
    Plan,
    Replayer,
    TrainingEvent,
    conclude,
    finish,
    open_run,
    unfinished,
)
from ticli.library import Library
from ticli.models import load_model, pick_hardware
from ticli.paths import places

# Sums over a larger batch are taken in another order.
NEAR = {"rtol": 0, "atol": 2e-5}
COUNTS = {"mug": 2, "cup": 3, "fern": 5}


@pytest.fixture
def planned(tmp_path: Path, tiny_folder: Path) -> Callable[..., Plan]:
    """Make the plan of one of three words, which have two, three and five photos."""
    folders = {name: make_photos(tmp_path / name, count) for name, count in COUNTS.items()}
    return lambda name, **knobs: plan_for(folders[name], tiny_folder, token=name, **knobs)


@pytest.fixture
def course(planned: Callable[..., Plan]) -> Callable[..., Engine]:
    """Load the tiny model for words that learn so many at a time; hear what is told."""

    def made(most: int = 4) -> tuple[Engine, list[str]]:
        told: list[str] = []
        model = load_model(planned("mug").source, pick_hardware("cpu"))
        return Engine(model, Library.open(), places().runs, most, told.append), told

    return made


def together(
    course: Engine,
    plans: Sequence[Plan],
    signalled: Callable[[], int | None] = lambda: None,
    watch: Callable[[TrainingEvent], None] = lambda event: None,
) -> tuple[dict[str, Any], list[TrainingEvent]]:
    """Learn plans side by side: concept and vectors by name, and every event."""
    found, events = {}, []
    for event in course.learn(plans, signalled):
        events.append(event)
        watch(event)
        if event.kind == "ended":
            found[event.token.name] = conclude(event.training)
            finish(event.training.run)
    return found, events


def assert_as_alone(plan: Plan, learned: tuple[Any, Any]) -> None:
    concept, embedding = learn(plan)
    together_concept, together_embedding = learned
    np.testing.assert_allclose(together_embedding.rows["clip_l"], embedding.rows["clip_l"], **NEAR)
    assert together_concept.steps == concept.steps
    assert together_concept.outcome.kept == concept.outcome.kept
    assert together_concept.outcome.stopped == concept.outcome.stopped
    assert together_concept.outcome.held_out == pytest.approx(concept.outcome.held_out, rel=1e-4)
    assert together_concept.losses.last == pytest.approx(concept.losses.last, rel=1e-3)
    assert (together_concept.name, together_concept.seed) == (concept.name, concept.seed)


def test_each_word_becomes_what_it_would_alone(planned, course):
    plans = [planned("mug"), planned("cup", seed=7, lr=0.03), planned("fern", kind="style")]
    found, events = together(course()[0], plans)
    assert list(found) == ["mug", "cup", "fern"]
    for plan in plans:
        assert_as_alone(plan, found[plan.token.name])
    assert not np.allclose(found["mug"][1].rows["clip_l"], found["cup"][1].rows["clip_l"])
    assert not unfinished(places().runs)
    assert sum(event.step is not None for event in events) == 3 * 6


def test_one_call_of_the_denoiser_serves_all(planned, course):
    where, _ = course()
    rows: list[int] = []

    def count(_module: Any, args: Any, _output: Any) -> None:
        if torch.is_grad_enabled():
            rows.append(len(args[0]))

    where.model.denoiser.register_forward_hook(count)
    together(where, [planned("mug"), planned("cup", batch=2), planned("fern", steps=4)])
    assert rows == [8] * 4 + [5] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "knobs",
    [
        {"accumulate": 2, "batch": 2, "min_snr": 5.0},
        {"negative_vectors": 1, "photo_words": 0.5},
        {"vectors": 2, "extend_every": 2, "context": 0.01, "init": "cup"},
        {"restarts": 2, "init": "random", "steps": 3},
        {"norm": "sphere", "prior": 1e-4},
    ],
    ids=["accumulates", "twin and private words", "vectors join", "restarts", "sphere"],
)
def test_every_recipe_beside_a_plain_one(planned, course, knobs):
    plans = [planned("mug"), planned("fern", **knobs)]
    found, _ = together(course()[0], plans)
    for plan in plans:
        assert_as_alone(plan, found[plan.token.name])


def test_latents_of_different_sizes_learn_in_one_run(planned, course):
    plans = [planned("mug"), planned("cup", size=96)]
    found, _ = together(course()[0], plans)
    for plan in plans:
        assert_as_alone(plan, found[plan.token.name])


def test_a_word_that_has_settled_leaves_the_batch(planned, course):
    # It settles at its first chance, and what is left of the others goes on without it.
    eager = {"stop": "auto", "stop_window": 2, "stop_ratio": 0.9, "evaluate_every": 1}
    plans = [planned("mug", **eager, cooldown=1, steps=30), planned("cup", steps=9)]
    found, _ = together(course()[0], plans)
    assert list(found) == ["mug", "cup"]
    assert found["mug"][0].outcome.stopped == "settled" and found["mug"][0].steps < 9
    for plan in plans:
        assert_as_alone(plan, found[plan.token.name])


@pytest.mark.slow
def test_the_rest_sit_down_as_seats_become_free(planned, course):
    plans = [planned("mug", steps=2), planned("cup", steps=5), planned("fern", steps=3)]
    found, events = together(course(2)[0], plans)
    order = [(event.kind, event.token.name) for event in events if event.kind in ("began", "ended")]
    assert order == [
        *(("began", "mug"), ("began", "cup"), ("ended", "mug")),
        *(("began", "fern"), ("ended", "cup"), ("ended", "fern")),
    ]
    for plan in plans:
        assert_as_alone(plan, found[plan.token.name])


@pytest.mark.slow
def test_a_signal_keeps_all_and_each_continues_alone_or_together(planned, course):
    plans = [planned("mug"), planned("cup"), planned("fern")]
    straight = {plan.token.name: learn(plan)[1].rows["clip_l"] for plan in plans}
    where, _ = course(2)
    taken: list[TrainingEvent] = []

    def watch(event: TrainingEvent) -> None:
        if event.step is not None:
            taken.append(event)

    with pytest.raises(Stopped, match="<mug> at step 3 of 6, <cup> at step 3 of 6; 1 not begun"):
        together(where, plans, lambda: 2 if len(taken) == 6 else None, watch)
    left = unfinished(places().runs)
    assert [(run.name, run.step, run.live) for run in left] == [
        ("cup", 3, False),
        ("mug", 3, False),
    ]
    _, alone = learn(plans[1])
    np.testing.assert_allclose(alone.rows["clip_l"], straight["cup"], **NEAR)
    found, events = together(course(2)[0], [plans[0], plans[2]])
    first = next(event for event in events if event.step is not None)
    assert first.step.index == 4
    for name in ("mug", "fern"):
        np.testing.assert_allclose(found[name][1].rows["clip_l"], straight[name], **NEAR)
    assert not unfinished(places().runs)


def test_a_word_that_is_learned_elsewhere_fails_alone(planned, course):
    plans = [planned("mug"), planned("cup")]
    with open_run(places().runs, "mug", plans[0].identity()):
        found, events = together(course()[0], plans)
    (failed,) = [event for event in events if event.kind == "failed"]
    assert failed.token.name == "mug" and isinstance(failed.error, Conflict)
    assert list(found) == ["cup"]


def test_a_word_that_diverges_takes_no_other_along(planned, course):
    where, _ = course()
    spoiled: list[int] = []

    def answer_nan(_module: Any, _args: Any, output: Any) -> Any:
        # The first three rows of a full batch are those of the first word.
        if torch.is_grad_enabled() and len(output.sample) == 6:
            spoiled.append(1)
            factor = torch.ones(6, 1, 1, 1)
            factor[:3] = float("nan")
            output.sample = output.sample * factor
        return output

    where.model.denoiser.register_forward_hook(answer_nan)
    plans = [planned("mug", restores=0, steps=30), planned("cup", steps=12)]
    found, events = together(where, plans)
    (failed,) = [event for event in events if event.kind == "failed"]
    assert failed.token.name == "mug" and isinstance(failed.error, Diverged)
    assert len(spoiled) == 10 and list(found) == ["cup"]
    assert not unfinished(places().runs)
    assert_as_alone(plans[1], found["cup"])


@pytest.mark.slow
def test_each_word_is_the_same_where_memory_holds_one_at_a_time(planned, course):
    where, _ = course()
    rows: list[int] = []

    def refuse(_module: Any, args: Any) -> None:
        if torch.is_grad_enabled():
            rows.append(len(args[0]))
            if len(args[0]) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    where.model.denoiser.register_forward_pre_hook(refuse)
    plans = [planned("mug"), planned("cup"), planned("fern")]
    found, _ = together(where, plans)
    assert rows[0] == 9 and rows.count(3) == 3 * 6
    for plan in plans:
        assert_as_alone(plan, found[plan.token.name])


def test_memory_that_does_not_suffice_for_one_ends_all(planned, course):
    where, _ = course()

    def refuse(_module: Any, _args: Any) -> None:
        if torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    where.model.denoiser.register_forward_pre_hook(refuse)
    with pytest.raises(DeviceFailed, match="out of memory with 3 pictures"):
        together(where, [planned("mug"), planned("cup")])


@pytest.mark.slow
def test_photos_of_words_that_sit_down_together_are_encoded_at_once(planned, course, monkeypatch):
    where, _ = course()
    loaded: list[int] = []
    vae = where.model.vae

    def counted(*arguments: Any) -> Any:
        loaded.append(1)
        return vae(*arguments)

    monkeypatch.setattr(where.model, "vae", counted)
    plans = [planned("mug"), planned("cup", hold_out="never"), planned("fern", size=96)]
    found, _ = together(where, plans)
    # Once for each size of pictures, and what is encoded so is what would be alone.
    assert len(loaded) == 2
    for plan in plans:
        assert_as_alone(plan, found[plan.token.name])


def test_a_photo_that_cannot_be_encoded_is_its_own_words_trouble(planned, course, monkeypatch):
    where, _ = course()
    encode = where.model.encode

    def spoiled(vae: Any, pixels: Any) -> Any:
        # The pictures of the second word have a side of 96.
        mean, spread = encode(vae, pixels)
        return mean * (float("nan") if pixels.shape[-1] == 96 else 1), spread

    monkeypatch.setattr(where.model, "encode", spoiled)
    found, events = together(where, [planned("mug"), planned("cup", size=96), planned("fern")])
    (failed,) = [event for event in events if event.kind == "failed"]
    assert failed.token.name == "cup" and "not finite" in failed.error.message
    assert sorted(found) == ["fern", "mug"]


def test_words_that_are_due_are_judged_in_one_batch(planned, course):
    where, _ = course()
    rows: list[int] = []

    def count(_module: Any, args: Any, _output: Any) -> None:
        if not torch.is_grad_enabled():
            rows.append(len(args[0]))

    where.model.denoiser.register_forward_hook(count)
    knobs = {"evaluate_every": 2, "evaluation_timesteps": 5}
    plans = [planned("mug", steps=5, **knobs), planned("cup", batch=2, **knobs)]
    plans.append(planned("fern", steps=4, negative_vectors=1, **knobs))
    judged: list[list[int]] = []

    def note(event: TrainingEvent) -> None:
        if event.step is not None and event.step.index in (2, 4) and rows:
            judged.append(list(rows))
        rows.clear()

    found, _ = together(where, plans, watch=note)
    # Five samples each, in threes, twos and threes, each of the last beside its twin's: those of a
    # word are what they are alone.
    assert judged == [[11, 8, 1], [11, 8, 1]]
    for plan in plans:
        assert_as_alone(plan, found[plan.token.name])


@pytest.mark.parametrize(
    ("steps", "recorded"), [((4, 10, 10), 1), pytest.param((4, 40, 4), 2, marks=pytest.mark.slow)]
)
def test_a_recorded_step_serves_on_when_words_have_ended(planned, course, steps, recorded):
    where, _ = course()
    record = Running()
    where.model.replayer = Replayer(record)
    # One timestep's evaluation now and then: runs of forty steps are long here.
    knobs = {"evaluate_every": 10, "evaluation_timesteps": 2}
    names = ("mug", "cup", "fern")
    plans = [planned(name, steps=n, **knobs) for name, n in zip(names, steps, strict=True)]
    found, _ = together(where, plans)
    assert record.recorded == recorded
    for plan in plans:
        assert_as_alone(plan, found[plan.token.name])


@pytest.mark.slow
def test_a_seat_that_is_taken_again_replays_the_recorded_step(planned, course):
    where, _ = course(2)
    record = Running()
    where.model.replayer = Replayer(record)
    plans = [planned("mug", steps=3), planned("cup", steps=8), planned("fern", steps=5)]
    found, _ = together(where, plans)
    assert record.recorded == 1 and record.replays == 7
    for plan in plans:
        assert_as_alone(plan, found[plan.token.name])
