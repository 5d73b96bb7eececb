"""A batch's way there and back over buffers that stay in their place, to be replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

from ticli.inversion.batches import Share, portion
from ticli.inversion.objective import guided, joined, weighed_loss, weights_of
from ticli.models.encoders import Layout
from ticli.models.model import Model, TextEncoder
from ticli.models.text import Tokenised

# The trainable row of a slot: the parameter's own place in memory, the vector's number.
Slot = tuple[int, int]
Buffers = dict[str, torch.Tensor]


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
    """A batch as a shape and the tensors that change from step to step, by name.

    `rows` are all trainable parameters that its slots name, by their place in memory.
    """

    shape: Shape
    tensors: Buffers
    rows: Mapping[int, torch.Tensor]

    @property
    def can_be_replayed(self) -> bool:
        """Whether all that its slots name stays where it is: photos' own words are slices."""
        return all(row.is_leaf for row in self.rows.values())


def lay_out(model: Model, shares: Sequence[Share], scale: float) -> Batch:
    """Everything that a step of these shares reads, ready on the device."""
    given = joined([share.given for share in shares])
    tensors: Buffers = {"z_t": given.z_t, "t": given.t}
    slots: list[tuple[str, tuple[Slot, ...]]] = []
    rows: dict[int, torch.Tensor] = {}
    for encoder in model.encoders:
        prompts = [prompt[encoder.key] for prompt in given.prompts]
        tensors |= _named(encoder.key, encoder.lay_out(prompts))
        own, found = _slots(encoder, prompts, given.words)
        slots.append((encoder.key, own))
        rows |= found
    parts = []
    for place, share in enumerate(shares):
        task = share.task
        masks, weights = weights_of(model, task.examples, task.samples, share.part)
        tensors[f"target.{place}"] = share.given.target
        tensors |= {f"masks.{place}": masks} if masks is not None else {}
        tensors |= {f"weights.{place}": weights} if weights is not None else {}
        about = share.given.guidance, task.learner.recipe.accumulate, share.weight
        parts.append(Part(len(share.given.z_t), *about))
    shapes = tuple((name, tuple(tensor.shape)) for name, tensor in tensors.items())
    return Batch(Shape(tuple(parts), tuple(slots), shapes, scale), tensors, rows)


def step(
    model: Model, shape: Shape, buffers: Buffers, rows: Mapping[int, torch.Tensor]
) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """Losses of the parts, (parts,), and the gradients of `rows` in their order, by buffers alone.

    Nothing is read from or sent to the host, so that the whole of it can be captured.
    """
    encodings = {}
    for encoder in model.encoders:
        own = dict(shape.slots)[encoder.key]
        vectors = torch.stack([rows[place][number] for place, number in own]) if own else None
        encodings[encoder.key] = encoder.read(_layout(encoder.key, buffers), vectors)
    answers = model.denoise(buffers["z_t"], buffers["t"], model.join(encodings))
    losses = []
    for place, answered in enumerate(torch.split(answers, [p.samples for p in shape.parts])):
        part = shape.parts[place]
        masks, weights = buffers.get(f"masks.{place}"), buffers.get(f"weights.{place}")
        predicted = guided(part.guidance, answered)
        loss = weighed_loss(predicted, buffers[f"target.{place}"], masks, weights)
        losses.append(portion(loss, part.accumulate, part.weight))
    # The sum: every word's rows get the gradient of their own loss.
    total = sum(losses[1:], losses[0]) * shape.scale
    gradients = torch.autograd.grad(total, list(rows.values()), allow_unused=True)
    return torch.stack([loss.detach() for loss in losses]), list(gradients)


def _named(key: str, layout: Layout) -> Buffers:
    named = {f"{key}.{field.name}": getattr(layout, field.name) for field in fields(layout)}
    return {name: tensor for name, tensor in named.items() if tensor is not None}


def _layout(key: str, buffers: Buffers) -> Layout:
    found: dict[str, Any] = {f.name: buffers.get(f"{key}.{f.name}") for f in fields(Layout)}
    return Layout(**found)


def _slots(
    encoder: TextEncoder,
    prompts: Sequence[Tokenised],
    words: Mapping[str, Mapping[str, torch.Tensor]],
) -> tuple[tuple[Slot, ...], dict[int, torch.Tensor]]:
    """The vectors that stand in a batch's slots, and the parameters that they are of."""
    slots, rows = [], {}
    for prompt in prompts:
        for slot in prompt.slots:
            row = words[slot.concept][encoder.key]
            rows[row.data_ptr()] = row
            slots.append((row.data_ptr(), slot.vector))
    return tuple(slots), rows
