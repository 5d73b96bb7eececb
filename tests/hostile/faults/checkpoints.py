"""A run that saves and reads its checkpoints: real ones, of a word of four numbers."""

from __future__ import annotations

from typing import Any

import torch

from ticli.inversion import (
    Run,
    Training,
    TrainingState,
    Vectors,
    new_state,
    open_run,
    restore_checkpoint,
    save_checkpoint,
)
from ticli.paths import places
from ticli.recipe import Recipe

IDENTITY = {"token": "<mug>", "steps": 9}
torch.set_num_threads(1)


def state_at(step: int) -> TrainingState:
    """The state after so many steps, the same in every process."""
    row = torch.nn.Parameter(torch.tensor([[0.1, -0.2, 0.3, 0.4]]))
    state = new_state(Vectors({"clip_l": row}, {}), Recipe())
    for number in range(step):
        row.grad = torch.full_like(row, 0.5 + number)
        state.optimizer.step()
        state.step += 1
        state.losses.append(1.0 / state.step)
    return state


def training_at(step: int, run: Run) -> Training:
    """A training of nothing but its state."""
    nothing: Any = None
    return Training(nothing, run, nothing, nothing, nothing, None, state_at(step))


def save(step: int) -> None:
    """Begin or continue the run of <mug> and save a checkpoint of this step."""
    with open_run(places().runs, "mug", IDENTITY) as run:
        save_checkpoint(run.checkpoint, training_at(step, run), float(step))


def saved() -> tuple[int, list[float]] | None:
    """The step and the numbers of the checkpoint that the next run would continue from."""
    with open_run(places().runs, "mug", IDENTITY) as run:
        if not run.checkpoint.exists():
            return None
        training = training_at(0, run)
        seconds = restore_checkpoint(run.checkpoint, training)
        row = training.state.vectors.rows["clip_l"].detach()
        assert (run.step, seconds) == (training.state.step, float(training.state.step))
        return training.state.step, row.flatten().tolist()
