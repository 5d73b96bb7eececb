"""A stand-in for CUDA graphs on the CPU, as strict as they are about the host."""

from __future__ import annotations

from torch.overrides import TorchFunctionMode


class Running:
    """Records by running a function again, its outputs changing in place as a graph's do."""

    def __init__(self) -> None:
        self.recorded, self.replays = 0, 0

    def __call__(self, function):
        function()
        with NothingFromTheHost():
            losses, gradients = function()
        self.recorded += 1

        def again() -> None:
            self.replays += 1
            with NothingFromTheHost():
                others, found = function()
            losses.copy_(others)
            for kept, new in zip(gradients, found, strict=True):
                kept.copy_(new)

        return again, (losses, gradients)


class NothingFromTheHost(TorchFunctionMode):
    """Refuses what a graph cannot hold: tensors made from lists, numbers read from tensors."""

    REFUSED = (
        "tensor",
        "as_tensor",
        "item",
        "tolist",
        "__bool__",
        "__float__",
        "__int__",
        "new_tensor",
    )

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in self.REFUSED:
            raise RuntimeError(f"{name} has no place in a recorded step")
        return function(*args, **(kwargs or {}))
