"""The learning rate of each step: a rise, a course, and a fall to zero once a run may end."""

from __future__ import annotations

import math
from collections.abc import Callable

from ticli.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, cooling: int | None = None) -> float:
    """The rate of a step counted from 0.

    It rises over `warmup` steps and follows the recipe's schedule. `cooling` is the step at which
    the run was found to have settled: from there it falls linearly to zero over `cooldown` steps,
    on top of the schedule, so that stopping early ends as calmly as the cap does.
    """
    if step < recipe.warmup:
        rate = recipe.lr * (step + 1) / (recipe.warmup + 1)
    else:
        rate = recipe.lr * _COURSES[recipe.schedule](recipe, step)
    if cooling is None or step < cooling:
        return rate
    return rate * _fall(step - cooling, recipe.cooldown)


def last_step(recipe: Recipe, cooling: int | None) -> int:
    """How many steps a run takes: the cap, or fewer where it cools down before it."""
    if cooling is None:
        return recipe.steps
    return min(recipe.steps, cooling + recipe.cooldown)


def _constant(_recipe: Recipe, _step: int) -> float:
    return 1.0


def _cosine(recipe: Recipe, step: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * _done(recipe, step)))


def _linear(recipe: Recipe, step: int) -> float:
    return 1 - _done(recipe, step)


def _trapezoid(recipe: Recipe, step: int) -> float:
    """Constant, then linear to zero over the last `cooldown` steps (Hägele et al., 2405.18392)."""
    began = recipe.steps - recipe.cooldown
    return _fall(step - began, recipe.cooldown) if step > began else 1.0


def _done(recipe: Recipe, step: int) -> float:
    return (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)


def _fall(steps: int, length: int) -> float:
    return max(0.0, 1 - steps / length) if length else 0.0


_COURSES: dict[str, Callable[[Recipe, int], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "linear": _linear,
    "trapezoid": _trapezoid,
}
