"""The rules of stopping, keeping and cooling down, on numbers alone."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import pvariance

import pytest

from ticli.inversion import (
    Evaluation,
    evaluation_interval,
    has_exploded,
    has_settled,
    is_better,
    last_step,
    learning_rate,
    should_cool_down,
    thinned,
)
from ticli.recipe import Recipe

FALLING = [math.exp(-step / 3) for step in range(40)]


def test_a_falling_loss_has_not_settled_and_a_flat_one_has():
    assert not has_settled(FALLING[:6], 5, 0.15)
    assert has_settled(FALLING, 5, 0.15)
    first = next(n for n in range(len(FALLING)) if has_settled(FALLING[:n], 5, 0.15))
    last, every = FALLING[first - 5 : first], FALLING[:first]
    assert pvariance(last) < 0.15 * pvariance(every)
    assert pvariance(FALLING[first - 6 : first - 1]) >= 0.15 * pvariance(every[:-1])


def test_a_window_must_be_full_and_more():
    assert not has_settled([1.0] * 5, 5, 0.15)
    assert has_settled([1.0] * 6, 5, 0.15)
    assert not has_settled([], 2, 1.0)


def test_only_a_recipe_that_says_so_stops():
    evaluations = [Evaluation(n, loss, 0.0) for n, loss in enumerate(FALLING)]
    assert should_cool_down(evaluations, Recipe(stop="auto", stop_window=5))
    assert not should_cool_down(evaluations, Recipe(stop="never", stop_window=5))


def test_kept_is_the_lowest_loss_within_the_drift_limit():
    near, far = Evaluation(1, 0.5, 0.1), Evaluation(2, 0.1, 0.5)
    assert is_better(near, None, 0.2) and is_better(far, None, 0.2)
    assert not is_better(far, near, 0.2) and is_better(near, far, 0.2)
    assert is_better(far, near, 0.6)
    assert is_better(near, far, 0.05), "beyond the limit the least drift counts"
    assert not is_better(near, near, 0.2), "of equals the earlier stays"


def test_what_has_exploded():
    first = [Evaluation(0, 0.5, 0.0)]
    assert has_exploded(Evaluation(1, math.nan, 0.0), first)
    assert has_exploded(Evaluation(0, math.inf, 0.0), [])
    assert has_exploded(Evaluation(1, 1.6, 0.0), first)
    assert not has_exploded(Evaluation(1, 1.4, 0.0), first)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "trapezoid"])
def test_cooling_down_falls_to_zero_on_top_of_the_schedule(schedule):
    recipe = Recipe(steps=100, lr=1.0, schedule=schedule, cooldown=10)
    assert last_step(recipe, None) == 100 and last_step(recipe, 40) == 50
    assert last_step(recipe, 95) == 100
    for step in (0, 39, 40):
        assert learning_rate(recipe, step, 40) == learning_rate(recipe, step)
    for step in range(40, 51):
        share = 1 - (step - 40) / 10
        assert learning_rate(recipe, step, 40) == pytest.approx(learning_rate(recipe, step) * share)
    assert learning_rate(recipe, 50, 40) == 0


def test_a_trapezoid_is_flat_and_then_falls():
    recipe = Recipe(steps=100, lr=1.0, schedule="trapezoid", cooldown=20, warmup=4)
    rates = [learning_rate(recipe, step) for step in range(101)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4:81] == [1.0] * 77
    assert rates[90] == pytest.approx(0.5) and rates[100] == 0
    none = Recipe(steps=100, lr=1.0, schedule="trapezoid", cooldown=0)
    assert learning_rate(none, 99) == 1.0


def test_evaluations_that_decide_cost_a_tenth_unless_told():
    for batch, interval in ((4, 10), (8, 5), (32, 5), (1, 40)):
        assert evaluation_interval(Recipe(batch=batch, stop="auto")) == interval
    assert evaluation_interval(Recipe(batch=1, accumulate=4, keep="best")) == 10
    assert evaluation_interval(Recipe(batch=4, evaluation_timesteps=16, restarts=2)) == 20
    assert evaluation_interval(Recipe(evaluate_every=3)) == 3


def test_evaluations_that_decide_nothing_cost_a_thirtieth():
    undecided = Recipe(stop="never", keep="last", restarts=1)
    assert evaluation_interval(undecided) == 34
    assert evaluation_interval(Recipe(batch=64)) == 5


def test_long_curves_are_thinned_and_end_where_they_end():
    points = [Evaluation(n, 1.0, 0.0) for n in range(1001)]
    kept = thinned(points, 200)
    assert len(kept) <= 200 and kept[-1].step == 1000 and kept[0].step < 6
    assert {b.step - a.step for a, b in pairwise(kept)} == {6}
    assert thinned(points[:7], 200) == points[:7] and thinned([], 200) == []
