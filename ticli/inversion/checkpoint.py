"""All that training changes, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ticli.concept import Attempt
from ticli.inversion.run_folder import read_tensors, write_tensors
from ticli.inversion.schedule import Evaluation
from ticli.inversion.state import Finished, TrainingState, put_back, take

if TYPE_CHECKING:
    from ticli.inversion.training import Training

Tensors = dict[str, torch.Tensor]
CHECKPOINT_SECONDS = 5.0


def save_checkpoint(path: Path, training: Training, seconds: float) -> None:
    """Write everything the next step depends on in place of the last checkpoint.

    `seconds` is the time spent on the run so far.
    """
    tensors, counts = _state_parts(training.state)
    document: dict[str, Any] = {
        "state": counts,
        "done": [asdict(attempt) for attempt in training.done],
        "closed": training.closed,
        "winner": None,
        "threads": torch.get_num_threads(),
        "seconds": seconds,
    }
    if training.winner is not None:
        winner = training.winner
        tensors |= _under("winner.rows", winner.rows)
        tensors["winner.losses"] = _numbers(winner.losses)
        tensors["winner.evaluations"] = _table(winner.evaluations)
        document["winner"] = {
            "attempt": asdict(winner.attempt),
            "kept": asdict(winner.kept),
            "skipped": winner.skipped,
            "restores": winner.restores,
        }
    # As a tensor it is under the checksum; the step stands apart for those who list runs.
    tensors["run"] = torch.frombuffer(bytearray(json.dumps(document), "utf-8"), dtype=torch.uint8)
    write_tensors(path, tensors, {"step": str(training.steps)})


def restore_checkpoint(path: Path, training: Training) -> float:
    """Restore a checkpoint into a new training; return the seconds spent before it.

    The thread count is restored too, because sums of another count round differently. Raises
    BadContent if the file is damaged.
    """
    tensors = read_tensors(path)
    document = json.loads(tensors["run"].numpy().tobytes())
    _restore_state(training.state, tensors, document["state"])
    training.done[:] = [Attempt(**attempt) for attempt in document["done"]]
    training.closed = document["closed"]
    if document["winner"] is not None:
        winner = document["winner"]
        training.winner = Finished(
            attempt=Attempt(**winner["attempt"]),
            kept=Evaluation(**winner["kept"]),
            rows=_within("winner.rows", tensors),
            evaluations=tuple(_evaluations(tensors["winner.evaluations"])),
            losses=tuple(tensors["winner.losses"].tolist()),
            skipped=winner["skipped"],
            restores=winner["restores"],
        )
    torch.set_num_threads(document["threads"])
    return float(document["seconds"])


def _state_parts(state: TrainingState) -> tuple[Tensors, dict[str, Any]]:
    """A state as tensors and as JSON values."""
    tensors = _under("now", take(state.vectors, state.optimizer))
    tensors |= _under("start", state.vectors.start) | _under("averages", state.averages)
    tensors["losses"] = _numbers(state.losses)
    tensors["evaluations"] = _table(state.evaluations)
    if state.good is not None:
        tensors |= _under("good", state.good)
    best = None
    if state.best is not None:
        best = asdict(state.best[0])
        tensors |= _under("best", state.best[1])
    return tensors, {
        "step": state.step,
        "skipped": state.skipped,
        "unusable": state.unusable,
        "restores": state.restores,
        "rate_scale": state.rate_scale,
        "cooling": state.cooling,
        "best": best,
    }


def _restore_state(state: TrainingState, tensors: Tensors, facts: Mapping[str, Any]) -> None:
    put_back(_within("now", tensors), state.vectors, state.optimizer)
    # Another restart of the run may have started elsewhere.
    for key, row in _within("start", tensors).items():
        state.vectors.start[key] = row.to(state.vectors.start[key].device)
    state.losses[:] = tensors["losses"].tolist()
    state.evaluations[:] = _evaluations(tensors["evaluations"])
    state.good = _within("good", tensors) or None
    device = next(iter(state.vectors.parameters().values())).device
    state.averages = {n: row.to(device) for n, row in _within("averages", tensors).items()}
    if facts["best"] is not None:
        state.best = Evaluation(**facts["best"]), _within("best", tensors)
    state.step = facts["step"]
    state.skipped = facts["skipped"]
    state.unusable = facts["unusable"]
    state.restores = facts["restores"]
    state.rate_scale = facts["rate_scale"]
    state.cooling = facts["cooling"]


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _within(prefix: str, tensors: Tensors) -> Tensors:
    begin = f"{prefix}."
    return {n.removeprefix(begin): t for n, t in tensors.items() if n.startswith(begin)}


def _numbers(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor(list(values), dtype=torch.float64)


def _table(evaluations: Sequence[Evaluation]) -> torch.Tensor:
    """Evaluations as (count, 3) numbers: step, held-out loss, drift."""
    rows = [[e.step, e.held_out, e.drift] for e in evaluations]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 3)


def _evaluations(table: torch.Tensor) -> list[Evaluation]:
    return [Evaluation(int(step), loss, drift) for step, loss, drift in table.tolist()]
