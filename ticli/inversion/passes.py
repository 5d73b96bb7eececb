"""The way there and back of one batch: whole, or cut where the text meets the denoiser."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ticli.inversion.batches import Share, batch_losses, smaller_batches, summed
from ticli.inversion.draws import Draw
from ticli.inversion.examples import Examples
from ticli.inversion.objective import denoising_losses, joined
from ticli.inversion.vectors import Vectors
from ticli.models.conditioning import Conditioning
from ticli.models.memory import with_less
from ticli.models.model import Model


def add_gradients(model: Model, shares: Sequence[Share], scale: float) -> list[float]:
    """Add the gradients of shares' losses, times `scale`, to their rows; the losses themselves."""
    one_way = _cut if model.savings.cut else _replayed_or_whole
    totals = [0.0] * len(shares)
    for batch in smaller_batches(model, shares, model.savings.samples):
        losses = one_way(model, [share for _, share in batch], scale)
        for (place, _), loss in zip(batch, losses, strict=True):
            totals[place] += loss
    return totals


def plain_losses(
    model: Model, examples: Examples, vectors: Vectors, drawn: Draw, batch: int
) -> torch.Tensor:
    """The loss of each sample of a draw, `batch` at a time and without a graph: float32, CPU."""

    def losses() -> torch.Tensor:
        size = min(model.savings.samples or batch, batch)
        parts = [slice(at, at + size) for at in range(0, len(drawn.timesteps), size)]
        with torch.no_grad(), model.encoders_at_hand():
            found = [denoising_losses(model, examples, vectors, drawn, part) for part in parts]
        return torch.cat([loss.cpu() for loss in found])

    return with_less(model, batch, losses)


def _replayed_or_whole(model: Model, shares: Sequence[Share], scale: float) -> list[float]:
    if model.replayer is None:
        return _whole(model, shares, scale)
    losses: list[float] | None = model.replayer.add_gradients(model, shares, scale)
    return _whole(model, shares, scale) if losses is None else losses


def _whole(model: Model, shares: Sequence[Share], scale: float) -> list[float]:
    losses = batch_losses(model, shares)
    summed(losses, scale).backward()  # type: ignore[no-untyped-call]
    return [float(loss.detach()) for loss in losses]


def _cut(model: Model, shares: Sequence[Share], scale: float) -> list[float]:
    """Encode without a graph, take dL/dc from the denoiser, then encode again for the rows.

    Never are both graphs there at once, and the encoders need not be there beside the denoiser.
    The gradient is the same to the bit: the second encoding computes what the first one did.
    """
    given = joined([share.given for share in shares])
    with model.encoders_at_hand(), torch.no_grad():
        known = model.condition(given.prompts, given.words)
    pooled = None if known.pooled is None else _leaf(known.pooled)
    known = Conditioning(_leaf(known.hidden), pooled, known.mask)
    losses = batch_losses(model, shares, known)
    summed(losses, scale).backward()  # type: ignore[no-untyped-call]
    found = [float(loss.detach()) for loss in losses]
    del losses
    with model.encoders_at_hand():
        again = model.condition(given.prompts, given.words)
        pairs = [(again.hidden, known.hidden.grad)]
        if again.pooled is not None and known.pooled is not None:
            pairs.append((again.pooled, known.pooled.grad))
        # A family may read no more of an encoder than its pooled text, or all but that.
        used = [(tensor, gradient) for tensor, gradient in pairs if gradient is not None]
        tensors, gradients = zip(*used, strict=True)
        torch.autograd.backward(tensors, gradients)
    return found


def _leaf(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().requires_grad_()
