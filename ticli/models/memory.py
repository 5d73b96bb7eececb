"""A device's memory: how much is free, and what to do when it runs out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from ticli.errors import DeviceFailed
from ticli.models.memory_ladder import below

if TYPE_CHECKING:
    from ticli.models.model import Model


T = TypeVar("T")

# MPS and the CPU allocator raise a RuntimeError with one of the first two texts; CUDA's libraries
# report missing workspaces in their own words.
TEXTS = (
    " out of memory",
    "can't allocate memory",
    "CUDNN_STATUS_NOT_SUPPORTED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
MEMORY, CONTROL_GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of any device means that its memory is full."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in TEXTS)
    )


@contextmanager
def memory_explained(message: str, advice: str) -> Iterator[None]:
    """Turn an out-of-memory error of any device into a DeviceFailed with advice."""
    try:
        yield
    except RuntimeError as error:
        if out_of_memory(error):
            raise DeviceFailed(message, advice) from error
        raise


def with_less(model: Model, batch: int, work: Callable[[], T]) -> T:
    """Call `work` for a batch of samples, and again in less memory each time memory runs out.

    Each call must start from the beginning. The error is raised when nothing is left to give up.
    """
    while True:
        try:
            return work()
        except RuntimeError as error:
            stage = below(model.savings, batch, model.possible_savings)
            if stage is None or not out_of_memory(error):
                raise
        # Outside the handler: the error's traceback holds the tensors that filled the memory.
        model.spare(stage, f"{model.device} is out of memory")


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a device; None if it does not tell."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + idle
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return free_on_this_machine()


def free_on_this_machine(
    memory: Path = MEMORY, group: Path = CONTROL_GROUP, pages: str = "SC_AVPHYS_PAGES"
) -> int | None:
    """Bytes of main memory that are free, within the limit of a control group if there is one."""
    found: list[int] = []
    with suppress(OSError):
        # What programs can use without swapping, caches included.
        line = re.search(r"^MemAvailable:\s*(\d+)", memory.read_text("ascii"), re.MULTILINE)
        found += [int(line[1]) << 10] if line else []
    with suppress(OSError, ValueError):
        # What a container's limit leaves; "max" means that it has none.
        limit = int((group / "memory.max").read_text("ascii"))
        used = int((group / "memory.current").read_text("ascii"))
        found.append(max(0, limit - used))
    if not found and pages in os.sysconf_names:
        found = [os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")]
    return min(found, default=None)
