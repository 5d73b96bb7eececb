"""The training loop: a generator of Step events that neither prints, saves nor asks."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch

from ticli.errors import Diverged
from ticli.inversion.draws import DrawRule, draw
from ticli.inversion.objective import Examples, training_loss
from ticli.inversion.rates import last_step, learning_rate
from ticli.inversion.regularisers import regularise
from ticli.inversion.snapshots import Snapshot, put_back, take
from ticli.inversion.steps import move
from ticli.inversion.stopping import Evaluation
from ticli.inversion.vectors import Vectors, vocabulary_norm
from ticli.models.model import Model
from ticli.recipe import Recipe

# So many steps in a row without a finite gradient, and nothing better is to come by waiting.
PATIENCE = 10
# Learned words of a hundred times the vocabulary's norm have been seen (2312.15905).
LARGEST_NORM = 1000.0
# Gradients of half-precision activations vanish below 6e-8; the loss is raised by this factor
# before the backward pass and the rows' gradient lowered by it in float32.
HALF_PRECISION_SCALE = 1024.0


@dataclass(frozen=True)
class Step:
    """One step done. `norm` is the vectors' mean norm, `seconds` what the step took.

    `held_out` is the loss on what is not trained on, where the step was followed by an evaluation.
    """

    index: int
    total: int
    loss: float
    norm: float
    seconds: float
    skipped: bool = False
    held_out: float | None = None


@dataclass
class TrainingState:
    """What changes while a word is learned: all that a checkpoint holds.

    `unusable` counts steps in a row without a finite gradient, `cooling` is the step from which
    the rate falls to zero, `best` the evaluation to keep with its rows by name.
    """

    vectors: Vectors
    optimizer: torch.optim.AdamW
    step: int = 0
    losses: list[float] = field(default_factory=list)
    skipped: int = 0
    unusable: int = 0
    restores: int = 0
    rate_scale: float = 1.0
    cooling: int | None = None
    evaluations: list[Evaluation] = field(default_factory=list)
    good: Snapshot | None = None
    best: tuple[Evaluation, Snapshot] | None = None

    def mark_good(self) -> None:
        """Remember the present vectors and optimiser as what a diverging run goes back to."""
        self.good = take(self.vectors, self.optimizer)

    def go_back(self, recipe: Recipe, found: str) -> None:
        """Return to the last good vectors and halve the rate; the steps taken stay counted.

        Raises Diverged, with what was `found`, where the recipe allows no more of this.
        """
        if self.good is None or self.restores >= recipe.restores:
            raise Diverged(
                f"training diverged at step {self.step}: {found}, after {self.restores} returns "
                "to a good state at half the rate",
                "use a lower --lr, or --dtype fp32",
            )
        put_back(self.good, self.vectors, self.optimizer)
        self.restores += 1
        self.rate_scale /= 2
        self.unusable = 0


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
    After PATIENCE such steps in a row, or where the norm explodes, the state goes back to the last
    good one. Raises Diverged where that does not help. `state.cooling` may be set between steps.
    """
    rule = draw_rule(model, examples, recipe)
    limits = {e.key: LARGEST_NORM * vocabulary_norm(e) for e in model.encoders}
    if state.good is None:
        state.mark_good()
    while state.step < last_step(recipe, state.cooling):
        began = time.monotonic()
        loss = _gradient(model, examples, state, recipe, (seed, rule))
        usable = math.isfinite(loss) and _clip(state.vectors, recipe.clip)
        if usable:
            _apply(state, recipe)
            state.losses.append(loss)
            state.unusable = 0
        else:
            state.skipped += 1
            state.unusable += 1
        state.step += 1
        if state.unusable >= PATIENCE:
            state.go_back(recipe, f"no finite gradient in {PATIENCE} steps")
        elif not _within(state.vectors, limits):
            state.go_back(recipe, "the vectors grew without end")
        norms = [norm for values in state.vectors.norms().values() for norm in values]
        yield Step(
            index=state.step,
            total=last_step(recipe, state.cooling),
            loss=loss,
            norm=sum(norms) / len(norms),
            seconds=time.monotonic() - began,
            skipped=not usable,
        )


def _within(vectors: Vectors, limits: Mapping[str, float]) -> bool:
    """Whether every vector is finite and no longer than its encoder's limit."""
    norms = vectors.norms()
    return vectors.finite() and all(max(norms[key]) <= limits[key] for key in norms)


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
        group["lr"] = state.rate_scale * learning_rate(recipe, state.step, state.cooling)
    move(state.vectors, state.optimizer, recipe)
