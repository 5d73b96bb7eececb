"""A small training step on a device that has computed wrong numbers before, checked on the CPU."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from ticli.errors import first_line

# Relative to the largest number: rounding is far below this, the errors of wrong kernels far above.
TOLERANCE = 1e-3
# Adam's first step shows only the gradient's sign; the second shows the moments.
STEPS = 2
WIDTH, HEADS, CHANNELS, SIDE, WORDS, GROUPS = 32, 4, 16, 8, 7, 4
RATE = 0.1

Step = Mapping[str, Tensor]


def fault_of(device: torch.device) -> str | None:
    """What is wrong with a device's training steps, in words; None if it agrees with the CPU."""
    try:
        found = training_step(device)
    except (RuntimeError, TypeError) as error:
        # Missing kernels raise a RuntimeError, missing types a TypeError.
        return f"it cannot take a training step: {first_line(error)}"
    return disagreement(found, training_step(torch.device("cpu")))


def disagreement(found: Step, expected: Step) -> str | None:
    """Where two training steps differ by more than TOLERANCE; None if they agree."""
    for name, wanted in expected.items():
        off = float((found[name] - wanted).abs().max() / wanted.abs().max())
        # Written so that NaN counts as different.
        if not off <= TOLERANCE:
            return f"the {name} of a training step is off by {off:.2g} of the CPU's"
    return None


def training_step(device: torch.device) -> dict[str, Tensor]:
    """Train a row with AdamW through the layers that models use; loss, gradient and row.

    In float32, and returned on the CPU. Weights and inputs are drawn on the CPU, so that they are
    the same everywhere.
    """
    generator = torch.Generator("cpu").manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    row = torch.nn.Parameter(drawn(1, WIDTH))
    table = drawn(2, WORDS, WIDTH)
    noisy, noise = (drawn(2, CHANNELS, SIDE, SIDE) for _ in range(2))
    weights = [drawn(WIDTH, WIDTH) / WIDTH**0.5 for _ in range(3)]
    project, back = drawn(WIDTH, CHANNELS) / CHANNELS**0.5, drawn(CHANNELS, WIDTH) / WIDTH**0.5
    kernel = drawn(CHANNELS, CHANNELS, 3, 3) / (9 * CHANNELS) ** 0.5
    places = (torch.tensor([0, 1], device=device), torch.tensor([2, 3], device=device))
    optimizer = torch.optim.AdamW([row], lr=RATE, weight_decay=0.0, foreach=False)
    for _ in range(STEPS):
        optimizer.zero_grad()
        words = table.index_put(places, row.expand(2, -1))
        words = functional.gelu(functional.layer_norm(words, (WIDTH,)) @ weights[0])
        seen = functional.silu(functional.group_norm(noisy, GROUPS))
        seen = functional.linear(seen.flatten(2).transpose(1, 2), project)
        query, key, value = map(_by_head, (seen, words @ weights[1], words @ weights[2]))
        attended = functional.scaled_dot_product_attention(query, key, value)
        attended = attended.transpose(1, 2).flatten(2)
        attended = functional.linear(attended, back).transpose(1, 2).reshape(noisy.shape)
        loss = functional.mse_loss(functional.conv2d(noisy + attended, kernel, padding=1), noise)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    gradient = row.grad if row.grad is not None else torch.full_like(row, torch.nan)
    found = {"loss": loss, "gradient": gradient, "learned row": row}
    return {name: value.detach().cpu() for name, value in found.items()}


def _by_head(sequence: Tensor) -> Tensor:
    """(batch, length, width) as (batch, heads, length, width / heads)."""
    batch, length, width = sequence.shape
    return sequence.view(batch, length, HEADS, width // HEADS).transpose(1, 2)
