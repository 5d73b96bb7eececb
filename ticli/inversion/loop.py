"""The training loop: a generator of Step events that neither prints, saves nor asks."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from ticli.errors import Diverged
from ticli.inversion.draws import DrawRule, draw
from ticli.inversion.objective import Examples, training_loss
from ticli.inversion.rates import learning_rate
from ticli.inversion.regularisers import regularise
from ticli.inversion.steps import move
from ticli.inversion.vectors import Vectors
from ticli.models.model import Model
from ticli.recipe import Recipe

# So many steps in a row without a finite gradient, and nothing better is to come.
PATIENCE = 10
# Gradients of half-precision activations vanish below 6e-8; the loss is raised by this factor
# before the backward pass and the rows' gradient lowered by it in float32.
HALF_PRECISION_SCALE = 1024.0


@dataclass(frozen=True)
class Step:
    """One step done. `norm` is the vectors' mean norm, `seconds` what the step took."""

    index: int
    total: int
    loss: float
    norm: float
    seconds: float
    skipped: bool = False


@dataclass
class TrainingState:
    """What changes while a word is learned: all that a checkpoint holds."""

    vectors: Vectors
    optimizer: torch.optim.AdamW
    step: int = 0
    losses: list[float] = field(default_factory=list)
    skipped: int = 0


def new_state(vectors: Vectors, recipe: Recipe) -> TrainingState:
    """A state before its first step. AdamW has no weight decay: it would pull v* to zero."""
    optimizer = torch.optim.AdamW(
        list(vectors.parameters().values()), lr=recipe.lr, weight_decay=0.0, foreach=False
    )
    return TrainingState(vectors, optimizer)


def train(
    model: Model, examples: Examples, state: TrainingState, recipe: Recipe, seed: int
) -> Iterator[Step]:
    """Run the recipe's remaining steps over `state`, yielding a Step after each.

    A step whose loss or gradient is not finite leaves the vectors and the optimiser untouched.
    Raises Diverged after PATIENCE such steps in a row.
    """
    rule = _draw_rule(model, examples, recipe)
    unusable = 0
    while state.step < recipe.steps:
        began = time.monotonic()
        loss = _gradient(model, examples, state, recipe, (seed, rule))
        usable = math.isfinite(loss) and _clip(state.vectors, recipe.clip)
        if usable:
            _apply(state, recipe)
            state.losses.append(loss)
            unusable = 0
        else:
            state.skipped += 1
            unusable += 1
        state.step += 1
        if unusable >= PATIENCE or not state.vectors.finite():
            raise Diverged(
                f"training diverged at step {state.step}: no finite gradient in {unusable} steps",
                "use a lower --lr, or --dtype fp32",
            )
        norms = [norm for values in state.vectors.norms().values() for norm in values]
        yield Step(
            index=state.step,
            total=recipe.steps,
            loss=loss,
            norm=sum(norms) / len(norms),
            seconds=time.monotonic() - began,
            skipped=not usable,
        )


def _draw_rule(model: Model, examples: Examples, recipe: Recipe) -> DrawRule:
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


def _gradient(
    model: Model,
    examples: Examples,
    state: TrainingState,
    recipe: Recipe,
    source: tuple[int, DrawRule],
) -> float:
    """Accumulate one step's gradient on the rows; the mean loss over the effective batch."""
    seed, rule = source
    vectors = recipe.vectors_at(state.step)
    if state.step and vectors > recipe.vectors_at(state.step - 1):
        # A row that joins late would else take its first steps by moments of many idle ones.
        state.optimizer.state.clear()
    examples = examples.at(vectors)
    state.optimizer.zero_grad(set_to_none=True)
    samples = draw(seed, state.step, rule)
    scale = HALF_PRECISION_SCALE if model.hardware.dtype == torch.float16 else 1.0
    total = 0.0
    for begin in range(0, rule.batch, recipe.batch):
        part = slice(begin, begin + recipe.batch)
        loss = training_loss(model, examples, state.vectors, samples, part) / recipe.accumulate
        (loss * scale).backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    state.vectors.finish_gradients(scale)
    regularise(model, examples, state.vectors, recipe, (seed, state.step))
    return total


def _clip(vectors: Vectors, limit: float) -> bool:
    """Clip the rows' gradient to an L2 norm; False where it is not finite."""
    gradients = [row.grad for row in vectors.parameters().values() if row.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    if not bool(norm.isfinite()):
        return False
    if limit and float(norm) > limit:
        for gradient in gradients:
            gradient.mul_(limit / norm)
    return True


def _apply(state: TrainingState, recipe: Recipe) -> None:
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(recipe, state.step)
    move(state.vectors, state.optimizer, recipe)
