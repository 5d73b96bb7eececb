"""Models that predict the velocity of a straight path from photo to noise (rectified flow)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ticli.models.families.family import Law

if TYPE_CHECKING:
    import torch

# Flow transformers read latents in patches of two a side; shifts are given for their number.
PATCH = 2


def noise_levels(schedule: Any, timesteps: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The share σ of noise at each timestep, spread as the model's own sampler spreads it.

    Larger pictures keep more of what is seen through the same noise, so σ = s·u / (1 + (s − 1)·u)
    with a shift s above 1 (2403.03206, eq. 23); some models take s from the number of patches.
    """
    uniform = (timesteps.float() + 1) / schedule.config.num_train_timesteps
    shift = _shift(schedule.config, shape)
    levels: torch.Tensor = shift * uniform / (1 + (shift - 1) * uniform)
    return levels


def _shift(config: Any, shape: tuple[int, ...]) -> float:
    if not config.use_dynamic_shifting:
        return float(config.shift)
    patches = (shape[-2] // PATCH) * (shape[-1] // PATCH)
    slope = (config.max_shift - config.base_shift) / (
        config.max_image_seq_len - config.base_image_seq_len
    )
    moved: float = config.base_shift + slope * (patches - config.base_image_seq_len)
    return math.exp(moved) if config.time_shift_type == "exponential" else moved


def _times(schedule: Any, timesteps: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    levels = noise_levels(schedule, timesteps, shape)
    times: torch.Tensor = levels * schedule.config.num_train_timesteps
    return times


def _add_noise(
    schedule: Any, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """z_t = (1 − σ) · z + σ · ε (2209.03003)."""
    levels = noise_levels(schedule, timesteps, tuple(latents.shape))
    sigma = levels.view(-1, *[1] * (latents.dim() - 1)).to(latents.dtype)
    return (1 - sigma) * latents + sigma * noise


def _target(
    _schedule: Any, latents: torch.Tensor, noise: torch.Tensor, _timesteps: torch.Tensor
) -> torch.Tensor:
    """The path's velocity dz_t/dσ = ε − z."""
    return noise - latents


def _prediction(_schedule: Any) -> str:
    return "flow"


FLOW = Law("FlowMatchEulerDiscreteScheduler", _times, _add_noise, _target, _prediction)
