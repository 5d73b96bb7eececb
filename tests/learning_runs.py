"""Runs on the tiny model in this process, which may stop, and meet numbers that are not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image


def make_photos(folder: Path, count: int) -> Path:
    """Write photos of different shapes and colours; return their folder."""
    colours = ("red", "teal", "gold", "navy", "olive", "purple")
    folder.mkdir()
    for number in range(count):
        picture = Image.new("RGB", (64 + 8 * number, 96 - 8 * number), "white")
        picture.paste(colours[number], (12, 12 + number, 44 + number, 50))
        picture.save(folder / f"photo-{number}.png")
    return folder


def plan_for(photos: Path, model: Path, **knobs: Any) -> Any:
    """The plan of a short run; `token`, `seed` and any knob of the recipe may be given."""
    from ticli.inversion import Request, make_plan
    from ticli.library import Library
    from ticli.recipe import Recipe

    seed, token = knobs.pop("seed", 0), knobs.pop("token", "<mug>")
    recipe = Recipe(steps=6, lr=0.01, batch=3).with_flags(**knobs)
    request = Request((str(photos),), token, recipe, str(model), seed, False, True)
    return make_plan(request, Library.open())


def learn(
    plan: Any,
    stop_at: int | None = None,
    bad: Callable[[Any], bool] = lambda training: False,
    watch: Callable[[Any, Any], None] | None = None,
    hardware: Any = None,
) -> tuple[Any, Any]:
    """Run a plan to its Concept and Embedding, stopping after a step as a signal would.

    While `bad` holds of the run the denoiser answers NaN in training steps; `watch` is called with
    the run and each step.
    """
    from ticli.inversion import conclude, finish, open_run
    from ticli.paths import places

    with open_run(places().runs, plan.token.name, plan.identity()) as run:
        training = begin(plan, run, hardware)
        spoil(training, bad)
        for step in advance(training, lambda: 2 if training.steps == stop_at else None):
            if watch:
                watch(training, step)
        concept, embedding = conclude(training)
        finish(run)
    return concept, embedding


def begin(plan: Any, run: Any, hardware: Any = None) -> Any:
    """A run in memory, ready for its next step."""
    from ticli.inversion import begin_training, open_engine
    from ticli.library import Library
    from ticli.models import pick_hardware

    engine = open_engine(plan, hardware or pick_hardware("cpu"), Library.open())
    return begin_training(plan, run, engine.model, None)


def advance(training: Any, signalled: Callable[[], int | None] = lambda: None) -> Iterator[Any]:
    """Take the steps of a run in memory that are left. Raises Stopped and Diverged."""
    from ticli.inversion import Engine
    from ticli.library import Library
    from ticli.paths import places

    engine = Engine(training.model, Library.open(), places().runs, 1, trainings=[training])
    for event in engine.learn([], signalled):
        if event.error is not None:
            raise event.error
        if event.step is not None:
            yield event.step


def spoil(training: Any, bad: Callable[[Any], bool]) -> None:
    """Make the denoiser of a run answer NaN in bad training steps; evaluations stay whole."""
    import torch

    def answer_nan(_module: Any, _args: Any, output: Any) -> Any:
        if torch.is_grad_enabled() and bad(training):
            output.sample = output.sample * float("nan")
        return output

    training.model.denoiser.register_forward_hook(answer_nan)
