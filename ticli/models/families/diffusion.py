"""Models that predict the noise or the velocity of a variance-preserving diffusion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ticli.models.families.family import Law

if TYPE_CHECKING:
    import torch


def _times(_schedule: Any, timesteps: torch.Tensor, _shape: tuple[int, ...]) -> torch.Tensor:
    return timesteps


def _add_noise(
    schedule: Any, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """z_t = √ᾱ_t · z + √(1 − ᾱ_t) · ε (2006.11239, eq. 4)."""
    noisy: torch.Tensor = schedule.add_noise(latents, noise, timesteps)
    return noisy


def _target(
    schedule: Any, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """The noise (2006.11239), or √ᾱ_t · ε − √(1 − ᾱ_t) · z (2202.00512, appendix D)."""
    if _prediction(schedule) == "v_prediction":
        velocity: torch.Tensor = schedule.get_velocity(latents, noise, timesteps)
        return velocity
    return noise


def _prediction(schedule: Any) -> str:
    return str(schedule.config.prediction_type)


DIFFUSION = Law("DDPMScheduler", _times, _add_noise, _target, _prediction)
