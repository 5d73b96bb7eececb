"""Whether compiling the denoiser repays the time it takes, and what it took the last time."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

from ticli.durable import make_folder, write_file
from ticli.paths import places

COMPILERS = ("cc", "gcc", "clang")
FILE = "compiling.json"
# Seconds to compile a U-Net and its backward pass where nothing is known of this one.
UNKNOWN_COST = 90.0
# What fused normalisation and activation save of a captured step, guessed low.
SAVED = 0.15


def obstacle() -> str | None:
    """What compiling lacks on this machine, in words; None where it has everything."""
    if importlib.util.find_spec("triton") is None:
        return "there is no Triton"
    if not any(shutil.which(name) for name in COMPILERS):
        return "there is no C compiler"
    return None


def repays(step_seconds: float, steps_left: int, cost: float) -> bool:
    """Whether the steps that are left save more time than compiling takes, by a careful guess."""
    return SAVED * step_seconds * steps_left > cost


def cost_of(what: str) -> float:
    """Seconds that compiling this took the last time; kernels that are kept are loaded again."""
    seconds = _costs().get(what)
    return seconds if isinstance(seconds, int | float) and seconds >= 0 else UNKNOWN_COST


def remember_cost(what: str, seconds: float) -> None:
    """Note what compiling took."""
    costs = {**_costs(), what: round(seconds, 1)}
    make_folder(places().cache)
    write_file(_path(), json.dumps(costs, indent=1).encode(), replace=True)


def _path() -> Path:
    return places().cache / FILE


def _costs() -> dict[str, object]:
    """The costs by what was compiled; a file that cannot be read says as little as none."""
    try:
        found = json.loads(_path().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
