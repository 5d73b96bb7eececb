"""A batch's way there and back over buffers that stay in their place, to be replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

from ticli.inversion.batches import Share, portion, summed
from ticli.inversion.objective import guided, joined, weighed_loss, weights_of
from ticli.models.conditioning import Encoding
from ticli.models.encoders import Layout
from ticli.models.model import Model, TextEncoder
from ticli.models.text import Tokenised

# The vector of a slot: its parameter among the batch's, its number in that one.
Slot = tuple[int, int]
Buffers = dict[str, torch.Tensor]
# Losses, and the gradients of the rows in their order.
Outputs = tuple[torch.Tensor, list[torch.Tensor | None]]


@dataclass(frozen=True)
class Part:
    """One share of a batch: samples with their twins', guidance, and its part of the loss."""

    samples: int
    guidance: float | None
    accumulate: int
    weight: float


@dataclass(frozen=True)
class Shape:
    """All that is the same each time a step is replayed; equal shapes take the same replay.

    `slots` are the trainable vectors in the order of the batch's slots, by encoder.
    """

    parts: tuple[Part, ...]
    slots: tuple[tuple[str, tuple[Slot, ...]], ...]
    buffers: tuple[tuple[str, tuple[int, ...]], ...]
    scale: float


@dataclass(frozen=True)
class Batch:
    """A batch as a shape, the tensors that change from step to step, by name, and what is done.

    `rows` are the trainable parameters that its slots name, in the order they do so. They are
    among the tensors too, so that another word may take the same replay.
    """

    shape: Shape
    tensors: Buffers
    rows: tuple[torch.Tensor, ...]
    step: Callable[[Model, Shape, Buffers], Outputs]

    @property
    def can_be_replayed(self) -> bool:
        """Whether all that its slots name stays where it is: photos' own words are slices."""
        return all(row.is_leaf for row in self.rows)


def lay_out(model: Model, shares: Sequence[Share], scale: float) -> Batch:
    """Everything that a step of these shares reads, ready on the device."""
    given = joined([share.given for share in shares])
    tensors: Buffers = {"z_t": given.z_t, "t": given.t}
    slots: list[tuple[str, tuple[Slot, ...]]] = []
    rows: list[torch.Tensor] = []
    for encoder in model.encoders:
        prompts = [prompt[encoder.key] for prompt in given.prompts]
        tensors |= named(encoder.key, encoder.lay_out(prompts))
        slots.append((encoder.key, slots_of(encoder, prompts, given.words, rows)))
    tensors |= {f"row.{number}": row.detach() for number, row in enumerate(rows)}
    parts = []
    for place, share in enumerate(shares):
        task = share.task
        masks, weights = weights_of(model, task.examples, task.samples, share.part)
        tensors[f"target.{place}"] = share.given.target
        tensors |= {f"masks.{place}": masks} if masks is not None else {}
        tensors |= {f"weights.{place}": weights} if weights is not None else {}
        about = share.given.guidance, task.learner.recipe.accumulate, share.weight
        parts.append(Part(len(share.given.z_t), *about))
    shape = Shape(tuple(parts), tuple(slots), shapes_of(tensors), scale)
    return Batch(shape, tensors, tuple(rows), step)


def shapes_of(tensors: Buffers) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The shape of every tensor by its name."""
    return tuple((name, tuple(tensor.shape)) for name, tensor in tensors.items())


def buffers_of(batch: Batch) -> Buffers:
    """Copies of a batch's tensors to take steps over; those of rows take gradients."""
    buffers = {name: tensor.clone() for name, tensor in batch.tensors.items()}
    for number in range(len(batch.rows)):
        buffers[f"row.{number}"].requires_grad_()
    return buffers


def fill(buffers: Buffers, batch: Batch) -> None:
    """Put what another batch of the same shape reads into buffers."""
    with torch.no_grad():
        for name, tensor in batch.tensors.items():
            buffers[name].copy_(tensor, non_blocking=True)


def step(model: Model, shape: Shape, buffers: Buffers) -> Outputs:
    """Losses of the parts, (parts,), and the gradients of the rows in their order.

    Nothing but buffers is read, and nothing is sent to or asked of the host, so that the whole of
    it can be captured.
    """
    encodings = {e.key: encoded(e, shape, buffers) for e in model.encoders}
    answers = model.denoise(buffers["z_t"], buffers["t"], model.join(encodings))
    losses = []
    for place, answered in enumerate(torch.split(answers, [p.samples for p in shape.parts])):
        part = shape.parts[place]
        masks, weights = buffers.get(f"masks.{place}"), buffers.get(f"weights.{place}")
        predicted = guided(part.guidance, answered)
        loss = weighed_loss(predicted, buffers[f"target.{place}"], masks, weights)
        losses.append(portion(loss, part.accumulate, part.weight))
    total = summed(losses, shape.scale)
    gradients = torch.autograd.grad(total, rows_of(buffers), allow_unused=True)
    return torch.stack([loss.detach() for loss in losses]), list(gradients)


def rows_of(buffers: Buffers) -> list[torch.Tensor]:
    """The trainable rows among buffers, in their order."""
    return [tensor for name, tensor in buffers.items() if name.startswith("row.")]


def encoded(encoder: TextEncoder, shape: Shape, buffers: Buffers) -> Encoding:
    """What an encoder makes of the prompts in buffers, their rows' vectors standing in slots."""
    own, rows = dict(shape.slots)[encoder.key], rows_of(buffers)
    vectors = torch.stack([rows[row][number] for row, number in own]) if own else None
    return encoder.read(_layout(encoder.key, buffers), vectors)


def named(key: str, layout: Layout) -> Buffers:
    """The tensors of a layout by names of their own."""
    found = {f"{key}.{field.name}": getattr(layout, field.name) for field in fields(layout)}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _layout(key: str, buffers: Buffers) -> Layout:
    found: dict[str, Any] = {f.name: buffers.get(f"{key}.{f.name}") for f in fields(Layout)}
    return Layout(**found)


def slots_of(
    encoder: TextEncoder,
    prompts: Sequence[Tokenised],
    words: Mapping[str, Mapping[str, torch.Tensor]],
    rows: list[torch.Tensor],
) -> tuple[Slot, ...]:
    """The vectors that stand in a batch's slots; parameters not yet among `rows` join them."""
    slots = []
    for prompt in prompts:
        for slot in prompt.slots:
            row = words[slot.concept][encoder.key]
            numbers = [number for number, known in enumerate(rows) if known is row]
            if not numbers:
                rows.append(row)
            slots.append((numbers[0] if numbers else len(rows) - 1, slot.vector))
    return tuple(slots)
