"""A run's state as two safetensors files: latents once, vectors and optimiser every few seconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load, save

from ticli.durable import write_file
from ticli.errors import BadContent
from ticli.inversion.latents import Latents
from ticli.inversion.loop import TrainingState

MOMENTS = ("exp_avg", "exp_avg_sq")


def save_latents(path: Path, latents: Latents) -> None:
    """Write a run's latents, durably."""
    _write(path, {"mean": latents.mean, "spread": latents.spread}, {})


def load_latents(path: Path) -> Latents:
    """Read a run's latents. Raises BadContent where the file is damaged."""
    tensors, _ = _read(path)
    return Latents(tensors["mean"], tensors["spread"])


def save_checkpoint(path: Path, state: TrainingState, seconds: float) -> None:
    """Write everything the next step depends on, replacing the last checkpoint at once.

    `seconds` is the time spent on the run so far.
    """
    tensors: dict[str, torch.Tensor] = {}
    for key, row in state.vectors.rows.items():
        tensors[f"rows.{key}"] = row.detach()
        for moment in MOMENTS:
            if row in state.optimizer.state:
                tensors[f"{moment}.{key}"] = state.optimizer.state[row][moment]
    tensors["losses"] = torch.tensor(state.losses, dtype=torch.float64)
    updates = [int(values["step"]) for values in state.optimizer.state.values()]
    facts = {
        "step": str(state.step),
        "updates": str(max(updates, default=0)),
        "skipped": str(state.skipped),
        "threads": str(torch.get_num_threads()),
        "seconds": repr(seconds),
    }
    _write(path, tensors, facts)


def restore_checkpoint(path: Path, state: TrainingState) -> float:
    """Put a checkpoint back into a new state and return the seconds spent before it.

    The thread count is restored too: sums of another count round differently. Raises BadContent
    where the file is damaged.
    """
    tensors, facts = _read(path)
    with torch.no_grad():
        for key, row in state.vectors.rows.items():
            row.copy_(tensors[f"rows.{key}"])
            if int(facts["updates"]):
                state.optimizer.state[row] = {
                    "step": torch.tensor(float(facts["updates"])),
                    **{m: tensors[f"{m}.{key}"].to(row.device) for m in MOMENTS},
                }
    state.step = int(facts["step"])
    state.skipped = int(facts["skipped"])
    state.losses[:] = tensors["losses"].tolist()
    torch.set_num_threads(int(facts["threads"]))
    return float(facts["seconds"])


def _write(path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, str]) -> None:
    plain = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    write_file(path, save(plain, {**facts, "sha256": _sum(plain)}), replace=True)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        data = path.read_bytes()
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        facts = json.loads(data[8 : 8 + length])["__metadata__"]
        if facts.pop("sha256") != _sum(tensors):
            raise ValueError("its checksum is wrong")
    except Exception as error:
        # safetensors raises a type of its own that derives from Exception alone.
        raise BadContent(
            f"the unfinished run's {path.name} is damaged: {error}", "start over with --fresh"
        ) from error
    return tensors, facts


def _sum(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
