"""The samples that go through the denoiser together, whoever they belong to, and their losses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from ticli.inversion.draws import Draw, DrawRule
from ticli.inversion.examples import Examples
from ticli.inversion.objective import Inputs, compare, guided, inputs, joined
from ticli.inversion.state import TrainingState
from ticli.models.conditioning import Conditioning
from ticli.models.model import Model
from ticli.recipe import Recipe


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
    """One learner's samples in a batch, and what the denoiser is given for them.

    `weight` is what they are of the samples that their loss is the mean of.
    """

    task: Task
    part: slice
    given: Inputs
    weight: float = 1.0


def share_of(model: Model, task: Task, part: slice, weight: float = 1.0) -> Share:
    """What the denoiser is given for some of a task's samples."""
    vectors = task.learner.state.vectors
    return Share(task, part, inputs(model, task.examples, vectors, task.samples, part), weight)


def batch_losses(
    model: Model, shares: Sequence[Share], conditioning: Conditioning | None = None
) -> list[torch.Tensor]:
    """Each share's part of its step's loss, from one call of the denoiser for all of them.

    Their prompts are encoded unless their `conditioning` is given.
    """
    given = joined([share.given for share in shares])
    sizes = [len(share.given.z_t) for share in shares]
    told = conditioning or model.condition(given.prompts, given.words)
    answers = torch.split(model.denoise(given.z_t, given.t, told), sizes)
    losses = []
    for share, answered in zip(shares, answers, strict=True):
        pair = guided(share.given.guidance, answered), share.given.target
        loss = compare(model, share.task.examples, pair, share.task.samples, share.part)
        losses.append(portion(loss, share.task.learner.recipe.accumulate, share.weight))
    return losses


def alike(shapes: Mapping[int, tuple[int, ...]]) -> list[list[int]]:
    """Places whose latents have one shape, and so may go through the denoiser together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for at, shape in shapes.items():
        groups.setdefault(shape, []).append(at)
    return list(groups.values())


def summed(losses: Sequence[torch.Tensor], scale: float) -> torch.Tensor:
    """The sum: every word's rows get the gradient of their own loss."""
    return sum(losses[1:], losses[0]) * scale


def portion(loss: torch.Tensor, accumulate: int, weight: float) -> torch.Tensor:
    """What a mean loss is of its step's, `weight` being its samples' share of their batch."""
    loss = loss / accumulate
    # Most shares are all of their batch; a product less, and the bits that they always had.
    return loss if weight == 1.0 else loss * weight


def smaller_batches(
    model: Model, shares: Sequence[Share], most: int
) -> Iterator[list[tuple[int, Share]]]:
    """The same samples in batches of at most `most`, each with the place of its share.

    Their weighted losses add up to the whole ones; 0 is all at once.
    """
    count = sum(share.part.stop - share.part.start for share in shares)
    if not most or count <= most:
        yield list(enumerate(shares))
        return
    batch: list[tuple[int, Share]] = []
    room = most
    for place, share in enumerate(shares):
        begin, end = share.part.start, share.part.stop
        while begin < end:
            taken = min(room, end - begin)
            weight = taken / (end - share.part.start) * share.weight
            part = slice(begin, begin + taken)
            batch.append((place, share_of(model, share.task, part, weight)))
            begin, room = begin + taken, room - taken
            if not room:
                yield batch
                batch, room = [], most
    if batch:
        yield batch


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
            int(recipe.least_noise * thousandth),
            max(1, int(recipe.timestep_high * thousandth)),
        ),
        shape=tuple(examples.latents.mean.shape[2:]),
        law=recipe.timestep_weighting,
        private=recipe.photo_words,
    )
