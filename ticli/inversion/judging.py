"""Words judged side by side: their held-out samples go through the denoiser together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ticli.inversion.batches import alike
from ticli.inversion.drift import drift
from ticli.inversion.evaluation import Judge
from ticli.inversion.objective import (
    Inputs,
    answer,
    guided,
    inputs,
    joined,
    masks_of,
    sample_losses,
)
from ticli.inversion.stopping import Evaluation
from ticli.inversion.vectors import Vectors
from ticli.models.memory import with_less
from ticli.models.model import Model


@dataclass(frozen=True)
class Trial:
    """A word as it is after a step, before its judge."""

    judge: Judge
    vectors: Vectors
    step: int

    def part(self, number: int) -> slice:
        """Where one of the trial's batches stands in its draw."""
        return slice(number * self.judge.batch, (number + 1) * self.judge.batch)

    def given(self, model: Model, number: int) -> Inputs | None:
        """What the denoiser is given in one of the trial's batches; None after the last."""
        judge, part = self.judge, self.part(number)
        if part.start >= len(judge.draw.timesteps):
            return None
        return inputs(model, judge.examples, self.vectors, judge.draw, part)

    def losses(self, model: Model, number: int, pair: tuple[Tensor, Tensor]) -> Tensor:
        """The loss of each sample of a batch, from its prediction and its target."""
        judge = self.judge
        masks = masks_of(model, judge.examples, judge.draw, self.part(number))
        return sample_losses(*pair, masks).cpu()


def evaluate_together(model: Model, trials: Sequence[Trial]) -> list[Evaluation]:
    """Judge every word as its own judge would."""
    if len(trials) == 1:
        return [trial.judge.evaluate(trial.vectors, trial.step) for trial in trials]
    batch = sum(trial.judge.batch for trial in trials)
    losses = with_less(model, batch, lambda: _held_out(model, trials))
    found = []
    for trial, loss in zip(trials, losses, strict=True):
        judge = trial.judge
        word = {judge.examples.concept: trial.vectors.rows}
        found.append(Evaluation(trial.step, loss, drift(model, judge.context, word)))
    return found


def _held_out(model: Model, trials: Sequence[Trial]) -> list[float]:
    """The mean denoising loss of every word, without gradients."""
    if model.savings.samples:
        # Memory holds no more than a part of one word's batch.
        return [trial.judge.held_out(trial.vectors) for trial in trials]
    losses: list[list[torch.Tensor]] = [[] for _ in trials]
    with torch.no_grad(), model.encoders_at_hand():
        shapes = {at: tuple(trial.judge.draw.noise.shape[1:]) for at, trial in enumerate(trials)}
        for places in alike(shapes):
            _judge(model, trials, places, losses)
    return [float(torch.cat(own).double().mean()) for own in losses]


def _judge(
    model: Model, trials: Sequence[Trial], places: list[int], losses: list[list[torch.Tensor]]
) -> None:
    """Add to the losses of the trials at `places`, batch by batch."""
    number = 0
    while places:
        asked = [(at, trials[at].given(model, number)) for at in places]
        going = [(at, given) for at, given in asked if given is not None]
        if not going:
            return
        answered = answer(model, joined([given for _, given in going]))
        sizes = [len(given.z_t) for _, given in going]
        for (at, given), own in zip(going, torch.split(answered, sizes), strict=True):
            pair = guided(given.guidance, own), given.target
            losses[at].append(trials[at].losses(model, number, pair))
        number += 1
