"""The samplers a picture can be drawn with, by the names users know."""

from __future__ import annotations

from typing import Any

from ticli.errors import Usage

# name → (diffusers scheduler class, settings that make it the sampler of that name)
SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": False}),
    "dpm++-karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "unipc": ("UniPCMultistepScheduler", {}),
}


def check_sampler(name: str) -> str:
    """Return a known sampler's name. Raises Usage naming the known ones."""
    if name not in SAMPLERS:
        raise Usage(f"no sampler named {name!r}", f"samplers: {', '.join(SAMPLERS)}")
    return name


def make_sampler(name: str, noise_schedule: Any) -> Any:
    """The diffusers scheduler called `name` over the model's own noise schedule."""
    import diffusers

    kind, settings = SAMPLERS[check_sampler(name)]
    return getattr(diffusers, kind).from_config(noise_schedule.config, **settings)
