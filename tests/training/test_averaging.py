"""The mean over the steps: against one taken by hand, judged, kept, and put back on resuming."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from everyday import everyday
from learning_runs import learn, make_photos, plan_for

from ticli.errors import Stopped
from ticli.inversion import evaluate

CALM = {"steps": 9, "lr": 0.05, "schedule": "constant", "stop": "never", "average": 3.0}


@pytest.fixture
def plan(tmp_path, tiny_folder):
    """plan(**knobs): the plan of a run on three photos."""
    photos = make_photos(tmp_path / "photos", 3)
    return lambda **knobs: plan_for(photos, tiny_folder, **{**CALM, **knobs})


def walked(plan) -> tuple[list[torch.Tensor], np.ndarray]:
    """The vectors after each step, and those that the run kept."""
    seen: list[torch.Tensor] = []

    def watch(learning, step):
        seen.append(learning.state.vectors.rows["clip_l"].detach().clone())

    _, embedding = learn(plan, watch=watch)
    return seen, embedding.rows["clip_l"]


def test_what_is_kept_is_the_weighted_mean_of_the_steps(plan):
    seen, kept = walked(plan(norm="free"))
    mean = seen[0]
    for number, row in enumerate(seen[1:], 2):
        weight = (3 + 1) / (number + 3)
        mean = (1 - weight) * mean + weight * row
    np.testing.assert_allclose(kept, mean.numpy(), rtol=1e-5, atol=1e-7)
    assert not np.allclose(kept, seen[-1].numpy(), rtol=1e-4)


def test_a_held_norm_is_held_of_the_mean_too(plan):
    seen, kept = walked(plan(norm="vocabulary", vectors=2))
    norms = np.linalg.norm(kept, axis=1)
    np.testing.assert_allclose(norms, seen[-1].norm(dim=1).numpy(), rtol=1e-5)


def test_the_steps_themselves_know_nothing_of_it(plan):
    with_mean, _ = walked(plan())
    without, kept = walked(plan(average=0.0))
    assert all(torch.equal(one, other) for one, other in zip(with_mean, without, strict=True))
    np.testing.assert_array_equal(kept, without[-1].numpy())


def test_the_mean_is_what_is_judged(plan):
    judged = []

    def watch(learning, step):
        found = evaluate(learning.model, [(learning.judge, learning.state.word, step.index)])[0]
        judged.append(found.held_out)

    concept, _ = learn(plan(evaluate_every=1, keep="best", drift_limit=2.0), watch=watch)
    assert concept.curves.held_out[1:] == pytest.approx(judged, rel=1e-5)
    assert concept.outcome.held_out == pytest.approx(min(concept.curves.held_out), rel=1e-5)


@pytest.mark.parametrize("stop_at", everyday([1, 4, 8], 4))
def test_a_run_that_goes_on_has_the_same_mean(plan, stop_at):
    _, straight = learn(plan())
    with pytest.raises(Stopped):
        learn(plan(), stop_at)
    _, resumed = learn(plan())
    np.testing.assert_array_equal(resumed.rows["clip_l"], straight.rows["clip_l"])


def test_a_run_that_went_back_begins_its_mean_anew(plan):
    spoiled = range(4, 14)

    def bad(learning) -> bool:
        return learning.state.step in spoiled

    concept, embedding = learn(plan(steps=16), bad=bad)
    assert concept.outcome.restores == 1
    assert np.isfinite(embedding.rows["clip_l"]).all()
