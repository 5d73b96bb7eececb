"""Runs that stop by themselves, keep their best vectors, go back, try again, and can be resumed."""

from __future__ import annotations

import numpy as np
import pytest
from learning_runs import learn, make_photos, plan_for

from ticli.errors import Diverged, Stopped
from ticli.inversion import PATIENCE, unfinished
from ticli.library import Library
from ticli.paths import places

# Settles as soon as two evaluations vary less than all three did.
EAGER = {"stop": "auto", "stop_window": 2, "stop_ratio": 1.0, "evaluate_every": 2}


@pytest.fixture
def plan(tmp_path, tiny_folder):
    """plan(**knobs): the plan of a run on three photos."""
    photos = make_photos(tmp_path / "photos", 4)
    return lambda **knobs: plan_for(photos, tiny_folder, **knobs)


def same(one, other) -> bool:
    return all(np.array_equal(rows, other.rows[key]) for key, rows in one.rows.items())


def test_a_run_that_settles_cools_down_and_stops(plan):
    rates = {}

    def watch(learning, step):
        rates[step.index] = learning.state.optimizer.param_groups[0]["lr"]
        assert step.index <= step.total

    knobs = {**EAGER, "steps": 60, "cooldown": 4, "schedule": "constant", "lr": 0.02}
    concept, _ = learn(plan(**knobs), watch=watch)
    assert concept.outcome.stopped == "settled" and concept.steps < 60
    settled = concept.steps - 4
    assert settled % 2 == 0 and concept.outcome.kept == concept.steps
    assert [rates[step] for step in range(1, settled + 2)] == [0.02] * (settled + 1)
    fall = [rates[step] for step in range(settled + 1, concept.steps + 1)]
    assert fall == pytest.approx([0.02, 0.015, 0.01, 0.005])
    assert concept.curves.steps[-1] == concept.steps


def test_the_steps_before_settling_are_those_of_a_run_that_never_stops(plan):
    knobs = {**EAGER, "steps": 60, "cooldown": 0, "schedule": "constant"}
    stopped, rows = learn(plan(**knobs))
    capped, same_rows = learn(
        plan(steps=stopped.steps, schedule="constant", evaluate_every=2, stop="never")
    )
    assert stopped.outcome.stopped == "settled" and capped.outcome.stopped == "steps"
    assert same(rows, same_rows)


def test_a_run_that_its_cap_ends_has_not_settled(plan):
    """Settling in the last step, or too late for the whole fall, ends nothing."""
    knobs = {**EAGER, "schedule": "constant"}
    settled = learn(plan(**knobs, steps=60, cooldown=0))[0].steps
    for cooldown, more, stopped in ((0, 0, "steps"), (3, -1, "steps"), (3, 1, "settled")):
        steps = settled + cooldown + more
        concept, _ = learn(plan(**knobs, steps=steps, cooldown=cooldown))
        assert (concept.outcome.stopped, concept.steps) == (stopped, steps - max(0, more))


def test_the_best_evaluation_is_kept(plan):
    knobs = {"steps": 8, "lr": 0.3, "schedule": "constant", "evaluate_every": 1, "drift_limit": 2.0}
    best, rows = learn(plan(**knobs, keep="best"))
    lowest = min(range(9), key=lambda step: best.curves.held_out[step])
    assert best.outcome.kept == lowest and best.steps == 8
    assert best.outcome.held_out == best.curves.held_out[lowest]
    last, _ = learn(plan(**knobs))
    assert last.outcome.kept == 8 and last.curves == best.curves
    assert lowest not in (0, 8), "else this shows nothing"
    _, shorter = learn(plan(**{**knobs, "steps": lowest}))
    assert same(rows, shorter)


def test_what_drifts_too_far_is_not_kept(plan):
    knobs = {"steps": 8, "lr": 0.3, "schedule": "constant", "evaluate_every": 1, "keep": "best"}
    free, _ = learn(plan(**knobs, drift_limit=2.0))
    drifts = free.curves.drift
    limit = (drifts[0] + drifts[free.outcome.kept]) / 2
    assert drifts[0] < limit < drifts[free.outcome.kept]
    held, _ = learn(plan(**knobs, drift_limit=limit))
    allowed = [step for step in range(9) if drifts[step] <= limit]
    assert held.outcome.kept == min(allowed, key=lambda step: free.curves.held_out[step])
    assert held.outcome.drift <= limit


def test_no_run_stops_or_keeps_before_all_its_vectors_have_joined(plan):
    knobs = {**EAGER, "steps": 40, "vectors": 3, "extend_every": 8, "cooldown": 0}
    concept, _ = learn(plan(**knobs, keep="best", drift_limit=2.0, schedule="constant"))
    # The third vector takes its first step as the 17th; 18 is the first evaluation after it.
    assert concept.outcome.stopped == "settled" and concept.steps >= 18
    assert concept.outcome.kept >= 18


def test_a_run_that_meets_nan_goes_back_and_halves_its_rate(plan):
    knobs = {"steps": 30, "schedule": "constant", "evaluate_every": 4, "lr": 0.02}
    bad = range(6, 6 + PATIENCE)

    def is_bad(learning) -> bool:
        return learning.state.step in bad

    seen = {}

    def watch(learning, step):
        seen[step.index] = (
            learning.state.vectors.rows["clip_l"].detach().clone(),
            learning.state.optimizer.param_groups[0]["lr"],
            step.skipped,
        )

    concept, _ = learn(plan(**knobs), bad=is_bad, watch=watch)
    assert [step for step in seen if seen[step][2]] == [step + 1 for step in bad]
    # Skipped steps change nothing, so step 12 was evaluated as good with the rows of step 6.
    assert (seen[16][0] == seen[12][0]).all() and (seen[12][0] == seen[6][0]).all()
    assert seen[6][1] == 0.02 and seen[17][1] == seen[30][1] == 0.01
    assert (concept.outcome.restores, concept.outcome.skipped) == (1, PATIENCE)
    assert concept.outcome.stopped == "steps" and concept.steps == 30


def test_vectors_that_explode_are_put_back(plan):
    knobs = {"steps": 12, "lr": 5.0, "norm": "free", "schedule": "constant", "evaluate_every": 2}
    norms = []
    concept, embedding = learn(
        plan(**knobs, restores=60), watch=lambda learning, step: norms.append(step.norm)
    )
    assert concept.outcome.restores > 0
    assert np.isfinite(embedding.rows["clip_l"]).all()
    assert concept.curves.held_out[-1] < 3 * concept.curves.held_out[0]


def test_a_run_that_cannot_be_saved_stores_nothing(plan):
    with pytest.raises(Diverged, match=r"at step 40.* 3 returns") as caught:
        learn(plan(steps=100), bad=lambda _: True)
    assert caught.value.exit_code == 1 and "--lr" in caught.value.hint
    assert not unfinished(places().runs), "there is nothing to continue"
    with pytest.raises(Diverged, match=r"at step 10.* 0 returns"):
        learn(plan(steps=100, restores=0), bad=lambda _: True)
    assert Library.open().names() == []


def test_a_model_that_answers_nan_from_the_start_is_said_at_once(plan, run, tiny_folder, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(tiny_folder, tmp_path / "broken")
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_out.bias"].fill_(float("nan"))
    save_file(tensors, weights, {"format": "pt"})
    result = run("invert", str(tmp_path / "photos"), "-t", "mug", "-m", str(broken), "--json")
    assert result.code == 1 and result.json["error"]["code"] == "diverged"
    assert "at step 0" in result.json["error"]["message"]
    assert run("list", "--unfinished", "-q").out == "" and run("list", "-q").out == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "knobs",
    [
        {**EAGER, "steps": 40, "cooldown": 3, "keep": "best", "drift_limit": 2.0},
        {"steps": 5, "hold_out": "auto", "evaluate_every": 2, "schedule": "trapezoid"},
        {"steps": 2, "restarts": 3, "keep": "best", "evaluate_every": 1, "init": "random"},
    ],
    ids=["settles", "held out", "restarts"],
)
def test_resumed_equals_uninterrupted_wherever_it_stopped(plan, knobs):
    asked = plan(**knobs, lr=0.05)
    concept, straight = learn(asked)
    taken = sum(attempt.steps for attempt in concept.outcome.attempts)
    assert taken >= 5
    for stop_at in range(1, taken + 1):
        with pytest.raises(Stopped):
            learn(asked, stop_at)
        (left,) = unfinished(places().runs)
        assert left.step == stop_at and left.total == knobs["steps"] * knobs.get("restarts", 1)
        resumed, rows = learn(asked)
        assert same(straight, rows), stop_at
        for field in ("outcome", "curves", "warnings", "losses", "steps", "norms"):
            assert getattr(resumed, field) == getattr(concept, field), (stop_at, field)


class KilledError(Exception):
    """The process is gone: nothing more is written."""


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(plan):
    asked = plan(**EAGER, steps=40, cooldown=3, keep="best", drift_limit=2.0, restarts=2, lr=0.05)
    concept, straight = learn(asked)
    first = concept.outcome.attempts[0].steps
    # Around an evaluation, in the cool-down, at the last step of a try, in the next one.
    for saved, killed in ((1, 2), (2, 3), (first - 1, first), (first, first + 1), (2, first + 2)):

        def watch(learning, step, saved=saved, killed=killed):
            if step.index == saved:
                learning.save()
            if step.index == killed:
                raise KilledError

        with pytest.raises(KilledError):
            learn(asked, watch=watch)
        assert [run.step for run in unfinished(places().runs)] == [saved]
        resumed, rows = learn(asked)
        assert same(straight, rows) and resumed.outcome == concept.outcome, (saved, killed)


@pytest.mark.parametrize(
    ("knobs", "stopped"),
    [
        pytest.param({"steps": 24}, "steps", marks=pytest.mark.slow),
        pytest.param(
            {"steps": 60, "stop": "auto", "stop_window": 5, "stop_ratio": 1.0},
            "settled",
            marks=pytest.mark.slow,
        ),
        ({"steps": 24, "average": 4.0, "keep": "best", "drift_limit": 2.0}, "steps"),
    ],
    ids=["plain", "settles after it", "average"],
)
def test_resumed_equals_uninterrupted_around_nan(plan, knobs, stopped):
    asked = plan(**knobs, evaluate_every=4, schedule="constant", lr=0.05, cooldown=2)
    bad = range(6, 6 + PATIENCE)

    def is_bad(learning) -> bool:
        return learning.state.step in bad

    concept, straight = learn(asked, bad=is_bad)
    assert (concept.outcome.restores, concept.outcome.stopped) == (1, stopped)
    assert 17 < concept.steps < 60
    for stop_at in (9, 16):
        with pytest.raises(Stopped):
            learn(asked, stop_at, bad=is_bad)
        resumed, rows = learn(asked, bad=is_bad)
        assert same(straight, rows) and resumed.outcome == concept.outcome, stop_at


def test_the_best_of_several_seeds_is_kept(plan):
    knobs = {"steps": 6, "init": "random", "lr": 0.05, "noun": "mug"}
    concept, rows = learn(plan(**knobs, restarts=3, seed=5))
    attempts = concept.outcome.attempts
    assert [attempt.seed for attempt in attempts] == [5, 6, 7] and concept.seed == 5
    losses = [attempt.held_out for attempt in attempts]
    assert len(set(losses)) == 3 and concept.outcome.held_out == pytest.approx(min(losses))
    # The first try is what a run of its own is; the others are judged by the same batch.
    alone, own = learn(plan(**knobs, seed=5))
    assert alone.outcome.attempts == attempts[:1]
    assert same(rows, own) == (losses[0] == min(losses))


def test_a_try_that_diverges_leaves_the_others(plan):
    counted = []

    def watch(learning, step):
        counted.append((step.index, step.total))

    asked = plan(steps=20, restarts=2, restores=0, evaluate_every=20)
    concept, embedding = learn(asked, watch=watch, bad=lambda run: not run.done)
    diverged, well = concept.outcome.attempts
    assert (diverged.stopped, diverged.steps, diverged.held_out) == ("diverged", PATIENCE, None)
    assert (well.stopped, well.steps, well.seed) == ("steps", 20, 1)
    assert counted[0] == (1, 40) and counted[-1] == (PATIENCE + 20, PATIENCE + 20)
    assert np.isfinite(embedding.rows["clip_l"]).all()
