"""Apple's device played by the CPU: what is sent to it stays, and what it lacks is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

CPU = torch.device("cpu")


class StandIn(TorchFunctionMode):
    """Run whatever names the device "mps" on the CPU; its tensors are never float64."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = [value for value in [*args, *(kwargs or {}).values()] if is_mps(value)]
        if not named or function is torch.device:
            return function(*args, **(kwargs or {}))
        self.moved += 1
        args = [CPU if is_mps(value) else value for value in args]
        found = function(*args, **{k: CPU if is_mps(v) else v for k, v in (kwargs or {}).items()})
        if isinstance(found, torch.Tensor) and found.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return found


def is_mps(value: Any) -> bool:
    if isinstance(value, torch.device):
        return value.type == "mps"
    return isinstance(value, str) and value.split(":")[0] == "mps"


@contextmanager
def mps_played_by_the_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Have torch find an Apple device for a while."""
    with monkeypatch.context() as patch, StandIn() as stand_in:
        patch.setattr(torch.backends.mps, "is_available", lambda: True)
        yield stand_in
