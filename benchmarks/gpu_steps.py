"""Training steps timed on a device: a plain loop, ours without recording, ours as it is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from ticli.inversion.context import build_context
from ticli.inversion.examples import Examples, Latents
from ticli.inversion.loss import Learner
from ticli.inversion.recorded_steps import replayer_for
from ticli.inversion.state import new_state
from ticli.inversion.step import gradients, make_learner, take_step
from ticli.inversion.vectors import Start, start_vectors
from ticli.models.model import Model
from ticli.names import Token
from ticli.photos.sentences import family, fill
from ticli.recipe import Recipe, load_recipe

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "mug"
PHOTOS = 5
# A step is recorded at its second batch; what comes before is not timed.
WARM_UP = 4
MANY_STEPS = 1_000_000


@dataclass(frozen=True)
class Timing:
    """A step of `batch` samples of each of `words`: median seconds, GiB at most (None: not known).

    `floor` is what the arithmetic would take at the measured rate of matrix products, seconds.
    """

    what: str
    batch: int
    words: int
    seconds: float
    floor: float
    allocated: float | None
    reserved: float | None


class NeverRecorded:
    """In the place of a replayer: every step is taken plainly."""

    broken = ""

    def add_gradients(self, *_args: Any) -> None:
        return None

    take = add_context_gradient = add_gradients


def learner_of(model: Model, batch: int, number: int = 0, preset: str = "") -> Learner:
    """A word on latents at random, with the sentences of objects, learned plainly or by a preset.

    A step of a preset includes its context, where it has one.
    """
    side = model.configuration["sample_size"]
    generator = torch.Generator().manual_seed(number)
    shape = (PHOTOS, 2, model.channels, side, side)
    latents = Latents(torch.randn(shape, generator=generator), torch.full(shape, 0.1))
    name = f"thing-{number}"
    texts = [model.tokenise(fill(t, f"<{name}> mug"), {name: 1}) for t in family("object")]
    recipe = load_recipe(preset) if preset else Recipe(schedule="constant")
    recipe = replace(recipe, steps=MANY_STEPS, batch=batch, init="mug", noun="mug")
    context = None
    if recipe.context:
        # As much of a plan as the context is made of.
        token, trigger = Token(name, f"<{name}>"), f"<{name}> mug"
        plan: Any = SimpleNamespace(recipe=recipe, token=token, trigger=trigger, start=None)
        context = build_context(model, plan, 1)
    state = new_state(start_vectors(model, Start("mug", 1, recipe.norm, number)), recipe)
    examples = Examples(name, latents, [texts] * PHOTOS, context=context)
    return make_learner(model, examples, state, recipe, number)


def our_step(model: Model, learners: Sequence[Learner]) -> Callable[[], None]:
    """One step of several words together."""

    def step() -> None:
        began = time.monotonic()
        losses = gradients(model, learners, replayer_for)
        for learner, loss in zip(learners, losses, strict=True):
            take_step(learner, loss, began)

    return step


def plain_step(model: Model, batch: int) -> Callable[[], None]:
    """The loop that one would write first: cached latents, one trainable row, all eager."""
    learner = learner_of(model, batch)
    examples, rows = learner.examples, learner.state.vectors.rows
    optimiser = torch.optim.AdamW(list(rows.values()), lr=5e-4, weight_decay=0.0)
    # Drawn anew in each step.
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        photos = torch.randint(PHOTOS, (batch,), generator=generator)
        z = examples.latents.mean[photos, 0].to(model.device)
        noise = torch.randn(z.shape, generator=generator).to(model.device)
        t = torch.randint(1000, (batch,), generator=generator).to(model.device)
        texts = examples.sentences[0]
        prompts = [texts[int(k)] for k in torch.randint(len(texts), (batch,), generator=generator)]
        told = model.condition(prompts, {examples.concept: rows})
        answer = model.denoise(model.add_noise(z, noise, t), t, told)
        loss = torch.nn.functional.mse_loss(answer, noise)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()

    return step


def timed(
    model: Model, step: Callable[[], None], steps: int, warm_up: int = WARM_UP
) -> tuple[float, float | None, float | None]:
    """Median seconds of a step, and the most memory allocated and reserved, GiB (None: no CUDA)."""
    on_card = model.device.type == "cuda"
    if on_card:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(model.device)
    for _ in range(warm_up):
        step()
    seconds = []
    for _ in range(steps):
        _wait(model)
        began = time.perf_counter()
        step()
        _wait(model)
        seconds.append(time.perf_counter() - began)
    if not on_card:
        return statistics.median(seconds), None, None
    allocated = torch.cuda.max_memory_allocated(model.device) / (1 << 30)
    return (
        statistics.median(seconds),
        allocated,
        torch.cuda.max_memory_reserved(model.device) / (1 << 30),
    )


def arithmetic(model: Model) -> int:
    """Floating-point operations of one sample's step, counted while it is taken."""
    from torch.utils.flop_counter import FlopCounterMode

    learner = learner_of(model, 1)
    model.replayer = NeverRecorded()
    with FlopCounterMode(display=False) as counter:
        gradients(model, [learner])
    model.replayer = None
    return int(counter.get_total_flops())


def matrix_rate(device: torch.device, side: int, dtype: torch.dtype) -> float:
    """Operations a second of the product of two square matrices, the best of some."""
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(20):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        began = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def _wait(model: Model) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
