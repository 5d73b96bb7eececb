"""Load a model so that a run's steps fit into memory, and remember what was given up for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path

import torch

from ticli.durable import write_file
from ticli.errors import BadContent
from ticli.inversion.examples import encode_photos
from ticli.inversion.plan import Plan
from ticli.models.folder import ModelSource
from ticli.models.hardware import Hardware
from ticli.models.memory import free_memory, memory_explained, out_of_memory
from ticli.models.memory_estimate import Demand, measure_demand
from ticli.models.memory_ladder import (
    LOW,
    NONE,
    RUNGS,
    Savings,
    below,
    both,
    ladder,
    said,
)
from ticli.models.model import Model, load_model
from ticli.models.single_files.probing import MOST_PHOTOS, find_prediction
from ticli.photos.cropping import training_picture

FILE = "memory.json"
GIB = 1 << 30


def load_sparingly(
    source: ModelSource, hardware: Hardware, load: tuple[int, int], tell: Callable[[str], None]
) -> Model:
    """Load a model at the first stage of the ladder that fits, or at LOW if asked for.

    `load` is the pixels a side of pictures, and how many are in a batch. `tell` hears what is given
    up, now and later. Raises as load_model does, and its out-of-memory error at the ladder's end.
    """
    size, batch = load
    demand = measure_demand(source, hardware.dtype, size, hardware.device)
    lowest = within(LOW, demand) if hardware.low_memory else NONE
    free = free_memory(hardware.device)
    stage, reason = first_stage(demand, batch, free, lowest)
    model = _loaded(source, hardware, stage, demand)
    model.tell = tell
    if stage != NONE:
        # Said as if it were given up now, though it was never there.
        model.note_given_up(f"{reason}: {said(stage)}")
    if model.savings != stage:
        model.note_given_up(f"no room for the model: {said(model.savings, stage)}")
    return model


def first_stage(
    demand: Demand, batch: int, free: int | None, lowest: Savings = NONE
) -> tuple[Savings, str]:
    """The first stage that gives up `lowest` and needs no more than is `free`, and the reason.

    The last stage if none fits: it may do all the same, because more may become free.
    """
    stages = [both(stage, lowest) for stage in ladder(batch, demand.possible)]
    asked = "low memory asked for"
    if free is None:
        return stages[0], asked
    need = demand.need(stages[0], batch)
    if need <= free:
        return stages[0], asked
    reason = f"a step would take about {need / GIB:.1f} GiB of the {free / GIB:.1f} that are free"
    fitting = (stage for stage in stages if demand.need(stage, batch) <= free)
    return next(fitting, stages[-1]), reason


def keep_savings(folder: Path, model: Model) -> None:
    """Note in a run's folder what its model has given up, if anything."""
    if model.savings == NONE:
        return
    document = {"savings": asdict(model.savings), "given_up": model.given_up}
    write_file(folder / FILE, json.dumps(document).encode(), replace=True)


def take_up_savings(folder: Path, model: Model) -> None:
    """Give up again what the model had given up when this run was stopped. Raises BadContent."""
    path = folder / FILE
    if not path.exists():
        return
    try:
        document = json.loads(path.read_text("utf-8"))
        stage = both(model.savings, Savings(**document["savings"]))
        before = [str(text) for text in document["given_up"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadContent(
            f"the unfinished run's {FILE} is damaged: {error}", "start over with --fresh"
        ) from error
    model.given_up[:0] = [text for text in before if text not in model.given_up]
    if stage != model.savings:
        model.spare(stage, "as before the run was stopped")


def _loaded(source: ModelSource, hardware: Hardware, stage: Savings, demand: Demand) -> Model:
    """Load at a stage, or at one below it if the weights do not fit."""
    while True:
        try:
            return load_model(source, hardware, stage)
        except RuntimeError as error:
            # Fewer pictures at a time make no room for weights.
            following = below(replace(stage, samples=1), 1, demand.possible)
            if following is None or not out_of_memory(error):
                raise
        stage = replace(following, samples=stage.samples)


def within(stage: Savings, demand: Demand) -> Savings:
    """A stage without the rungs that do nothing for a model."""
    return replace(stage, **{n: getattr(stage, n) and n in demand.possible for n in RUNGS})


def memory_of(plan: Plan) -> AbstractContextManager[None]:
    """Explain it in words if a plan's batch is too large for the device."""
    recipe = plan.recipe
    return memory_explained(
        f"out of memory with {recipe.batch} pictures of {recipe.size} pixels a batch",
        f"use --batch {max(1, recipe.batch // 2)} --accumulate {recipe.accumulate * 2}, which "
        "learns the same in smaller pieces, or a smaller --size",
    )


def prediction_by_photos(
    plan: Plan, hardware: Hardware, tell: Callable[[str], None]
) -> ModelSource:
    """The plan's model with what it predicts, found by denoising the plan's photos.

    Raises as find_prediction does, and BadContent if a photo cannot be encoded.
    """

    def encode(model: Model) -> torch.Tensor:
        photos = plan.photos.photos[:MOST_PHOTOS]
        pictures = [training_picture(photo, plan.recipe.size) for photo in photos]
        return encode_photos(model, pictures).mean[:, 0]

    with memory_of(plan):
        return find_prediction(plan.source, hardware, tell, encode)
