"""One step's gradients on the rows of words that learn together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ticli.inversion.draws import Draw, DrawRule, draw
from ticli.inversion.examples import Examples
from ticli.inversion.objective import Inputs, answer, compare, guided, inputs, joined
from ticli.inversion.regularisers import regularise
from ticli.inversion.state import TrainingState
from ticli.models.model import Model
from ticli.recipe import Recipe

# Gradients of half-precision activations vanish below 6e-8; the loss is raised by this factor
# before the backward pass and the rows' gradient lowered by it in float32.
HALF_PRECISION_SCALE = 1024.0


@dataclass(frozen=True)
class Learner:
    """A word under training: its state, what it learns from, and what its steps are drawn from.

    `limits` are the largest norms of its vectors by encoder.
    """

    examples: Examples
    state: TrainingState
    recipe: Recipe
    seed: int
    rule: DrawRule
    limits: Mapping[str, float]


@dataclass(frozen=True)
class Task:
    """What one learner's next step is taken on: its samples, and the examples of its stage."""

    learner: Learner
    examples: Examples
    samples: Draw

    def part(self, number: int) -> slice:
        """The samples of one batch of the step's `accumulate` batches."""
        batch = self.learner.recipe.batch
        return slice(number * batch, (number + 1) * batch)


@dataclass(frozen=True)
class Share:
    """One learner's samples in a batch, and what the denoiser is given for them."""

    task: Task
    part: slice
    given: Inputs


def gradients(model: Model, learners: Sequence[Learner]) -> list[float]:
    """Leave the gradient of its next step on every learner's rows; each one's mean loss.

    Samples go through the denoiser together where their latents have one shape. A learner's
    gradient hangs on its own samples alone, whoever learns beside it.
    """
    tasks = [_task(learner) for learner in learners]
    scale = HALF_PRECISION_SCALE if model.hardware.dtype == torch.float16 else 1.0
    totals = dict.fromkeys(range(len(tasks)), 0.0)
    for number in range(max(learner.recipe.accumulate for learner in learners)):
        for places in _groups(tasks, number):
            losses = batch_losses(model, [_share(model, tasks[at], number) for at in places])
            # The sum: every word's rows get the gradient of their own loss.
            (sum(losses[1:], losses[0]) * scale).backward()  # type: ignore[no-untyped-call]
            for at, loss in zip(places, losses, strict=True):
                totals[at] += float(loss.detach())
    for task in tasks:
        learner = task.learner
        learner.state.vectors.finish_gradients(scale)
        key = learner.seed, learner.state.step
        regularise(model, task.examples, learner.state.vectors, learner.recipe, key)
    return list(totals.values())


def batch_losses(model: Model, shares: Sequence[Share]) -> list[torch.Tensor]:
    """Each learner's part of its step's loss, from one call of the denoiser for all of them."""
    given = joined([share.given for share in shares])
    sizes = [len(share.given.z_t) for share in shares]
    answers = torch.split(answer(model, given), sizes)
    losses = []
    for share, answered in zip(shares, answers, strict=True):
        pair = guided(share.given, answered), share.given.target
        loss = compare(model, share.task.examples, pair, share.task.samples, share.part)
        losses.append(loss / share.task.learner.recipe.accumulate)
    return losses


def draw_rule(model: Model, examples: Examples, recipe: Recipe) -> DrawRule:
    """What a recipe's steps are drawn from."""
    thousandth = model.noise_schedule.config.num_train_timesteps / 1000
    return DrawRule(
        batch=recipe.batch * recipe.accumulate,
        photos=examples.latents.mean.shape[0],
        flip=recipe.flip,
        # A multiple of every photo's count, so that each of its sentences is as likely.
        sentences=math.lcm(*(len(choices) for choices in examples.sentences)),
        timesteps=(
            int(recipe.timestep_low * thousandth),
            max(1, int(recipe.timestep_high * thousandth)),
        ),
        shape=tuple(examples.latents.mean.shape[2:]),
        law=recipe.timestep_weighting,
        private=recipe.photo_words,
    )


def _task(learner: Learner) -> Task:
    """Draw a learner's next step, its gradient being empty."""
    state, recipe = learner.state, learner.recipe
    vectors = recipe.vectors_at(state.step)
    if state.step and vectors > recipe.vectors_at(state.step - 1):
        # A row that joins late would else take its first steps by moments of many idle ones.
        state.optimizer.state.clear()
    state.optimizer.zero_grad(set_to_none=True)
    samples = draw(learner.seed, state.step, learner.rule)
    return Task(learner, learner.examples.at(vectors), samples)


def _share(model: Model, task: Task, number: int) -> Share:
    part, vectors = task.part(number), task.learner.state.vectors
    return Share(task, part, inputs(model, task.examples, vectors, task.samples, part))


def _groups(tasks: Sequence[Task], number: int) -> list[list[int]]:
    """Places in `tasks` that have such a batch, apart where their latents differ in shape."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for at, task in enumerate(tasks):
        if number < task.learner.recipe.accumulate:
            groups.setdefault(task.learner.rule.shape, []).append(at)
    return list(groups.values())
