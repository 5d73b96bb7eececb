"""diffusers' example scripts: what they are, how they are called, how long a step of theirs takes.

They are no part of this project; the flags are those of the release and the commit named here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gpu_peak import Failed, Ran, run
from gpu_steps import EXAMPLES

RELEASE, COMMIT = "v0.40.0", "d035dcd7cc7c88e0a154609b62887d50bba9fdc2"
FOLDER = "examples/textual_inversion"
# What the scripts import and this project does not.
NEEDS = ("accelerate", "torchvision")


@dataclass(frozen=True)
class Pinned:
    """A script of that commit, the model of its shape, and pixels a side."""

    file: str
    sha256: str
    model: str
    size: int


PINNED = {
    "script": Pinned(
        "textual_inversion.py",
        "117c575fb59a1150dd0e95faab23d92eb9031b55e2e9f4f63413647fa1f14a99",
        "sd15",
        512,
    ),
    "script-xl": Pinned(
        "textual_inversion_sdxl.py",
        "b0e224857ed982de71ff43289b047e467c151b0c4b214befbb67c13267fc298d",
        "sdxl",
        1024,
    ),
}


def obstacle_to(script: Path) -> str:
    """Why a script cannot be run here, in words; empty where it can."""
    if not script.is_file():
        return f"{script} is no file"
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        return (
            f"{script.name} needs {' and '.join(missing)}, which "
            f"{'are' if len(missing) > 1 else 'is'} not installed: pip install {' '.join(missing)}"
        )
    return ""


def identity(script: Path, pinned: Pinned) -> str:
    """Which file was given, and whether it is the one that the flags were written for."""
    digest = hashlib.sha256(script.read_bytes()).hexdigest()
    known = f"diffusers {RELEASE} (commit {COMMIT}), {FOLDER}/{pinned.file}"
    if digest == pinned.sha256:
        return f"{known}, sha256 {digest}"
    return (
        f"{script.name}, sha256 {digest}: NOT the pinned file, "
        f"which is {known}, sha256 {pinned.sha256}"
    )


def command(script: Path, model: Path, size: int, batch: int, steps: int) -> list[str]:
    """How a script is called, but for where it writes to."""
    return [
        str(script), "--pretrained_model_name_or_path", str(model),
        "--train_data_dir", str(EXAMPLES), "--learnable_property", "object",
        "--placeholder_token", "<thing>", "--initializer_token", "mug", "--resolution", str(size),
        "--train_batch_size", str(batch), "--gradient_accumulation_steps", "1",
        "--max_train_steps", str(steps), "--learning_rate", "5e-4", "--lr_scheduler", "constant",
        "--mixed_precision", "bf16", "--save_steps", "1000000", "--seed", "0",
    ]  # fmt: skip


def taken(script: Path, model: Path, size: int, batch: int, steps: int) -> Ran:
    """A whole run of a script. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="ti-script-") as out:
        return run([*command(script, model, size, batch, steps), "--output_dir", out])


def step(script: Path, model: Path, size: int, batch: int, steps: tuple[int, int]) -> Ran:
    """Seconds of a script's step: two runs' difference, by their steps'; the longer one's memory.

    Raises Failed.
    """
    short, long = (taken(script, model, size, batch, count) for count in steps)
    seconds = (long.seconds - short.seconds) / (steps[1] - steps[0])
    if seconds <= 0:
        raise Failed(f"{steps[1]} steps of {script.name} took no longer than {steps[0]}")
    return Ran(seconds, long.allocated, long.reserved)
