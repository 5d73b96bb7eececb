"""The context regulariser over buffers that stay in their place, to be replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ticli.inversion.context import Context
from ticli.inversion.static_step import (
    Batch,
    Buffers,
    Outputs,
    Shape,
    Slot,
    encoded,
    named,
    rows_of,
    shapes_of,
    slots_of,
)
from ticli.models.model import Model


def replayed(
    model: Model,
    context: Context,
    rows: Mapping[str, torch.Tensor],
    numbers: Sequence[int],
    weight: float,
) -> bool:
    """Add the gradient of weight · distance by a recorded step; False where there is none.

    The distance is that of `context_distance`, summed in another order.
    """
    if model.replayer is None:
        return False
    found = model.replayer.take(model, lambda: _lay_out(model, context, rows, numbers, weight))
    return found is not None


def _lay_out(
    model: Model,
    context: Context,
    rows: Mapping[str, torch.Tensor],
    numbers: Sequence[int],
    weight: float,
) -> Batch:
    tensors: Buffers = {}
    slots: list[tuple[str, tuple[Slot, ...]]] = []
    trained: list[torch.Tensor] = []
    for encoder in model.encoders:
        key = encoder.key
        prompts = [context.prompts[number][key] for number in numbers]
        tensors |= named(key, encoder.lay_out(prompts))
        slots.append((key, slots_of(encoder, prompts, {context.concept: rows}, trained)))
        wanted, shares = _padded(context, key)
        tensors[f"{key}.wanted"], tensors[f"{key}.shares"] = wanted[numbers], shares[numbers]
    tensors |= {f"row.{number}": row.detach() for number, row in enumerate(trained)}
    shape = Shape((), tuple(slots), shapes_of(tensors), weight)
    return Batch(shape, tensors, tuple(trained), _step)


def _step(model: Model, shape: Shape, buffers: Buffers) -> Outputs:
    """The distance, (1,), and the gradients of the rows from its weighted value."""
    distances = []
    for encoder in model.encoders:
        hidden = encoded(encoder, shape, buffers).hidden.float()
        wanted, shares = buffers[f"{encoder.key}.wanted"], buffers[f"{encoder.key}.shares"]
        cosine = torch.nn.functional.cosine_similarity(hidden, wanted, dim=2)
        distances.append(1 - (cosine * shares).sum(1))
    distance = torch.cat(distances).mean()
    gradients = torch.autograd.grad(shape.scale * distance, rows_of(buffers), allow_unused=True)
    return distance.detach()[None], list(gradients)


def _padded(context: Context, key: str) -> tuple[torch.Tensor, torch.Tensor]:
    """What every prompt's tokens should be, (prompts, window, width), and what each counts for.

    A prompt's tokens count for one together, and all that is not among its places for nothing.
    """
    if key not in context.padded:
        window = len(context.prompts[0][key].ids)
        first = context.wanted[0][key]
        wanted = first.new_zeros(len(context.prompts), window, first.shape[1])
        shares = first.new_zeros(len(context.prompts), window)
        for number, places in enumerate(context.places):
            where = torch.tensor(places[key], device=first.device)
            wanted[number, where] = context.wanted[number][key]
            shares[number, where] = 1 / len(places[key])
        context.padded[key] = wanted, shares
    return context.padded[key]
