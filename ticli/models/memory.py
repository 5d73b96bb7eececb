"""A device's out-of-memory errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ticli.errors import DeviceFailed

# MPS and the CPU allocator raise a plain RuntimeError holding one of these texts.
TEXTS = (" out of memory", "can't allocate memory")


@contextmanager
def memory_explained(message: str, advice: str) -> Iterator[None]:
    """Turn an out-of-memory error of any device into a DeviceFailed with advice."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or any(t in str(error) for t in TEXTS):
            raise DeviceFailed(message, advice) from error
        raise
