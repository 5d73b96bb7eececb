"""The samplers a picture can be drawn with, by the names users know."""

from __future__ import annotations

from typing import Any

from ticli.errors import Usage
from ticli.families import FAMILIES

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
# The same for models of straight paths, whose own schedule is Euler's.
FLOW_SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", {"solver_order": 2}),
    "unipc": ("UniPCMultistepScheduler", {"solver_order": 2}),
}
FLOW = "FlowMatchEulerDiscreteScheduler"


def samplers_for(family: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """The samplers that models of a family can be drawn with."""
    return FLOW_SAMPLERS if FAMILIES[family].law.schedule == FLOW else SAMPLERS


def check_sampler(name: str, known: dict[str, tuple[str, dict[str, Any]]] | None = None) -> str:
    """Return a sampler's name where it is `known`. Raises Usage naming those that are."""
    samplers = SAMPLERS if known is None else known
    if name not in samplers:
        elsewhere = " for this model" if name in SAMPLERS else ""
        raise Usage(f"no sampler named {name!r}{elsewhere}", f"samplers: {', '.join(samplers)}")
    return name


def make_sampler(name: str, noise_schedule: Any) -> Any:
    """The diffusers scheduler called `name` over the model's own noise schedule."""
    import diffusers

    if type(noise_schedule).__name__ == FLOW:
        kind, settings = FLOW_SAMPLERS[check_sampler(name, FLOW_SAMPLERS)]
        if kind != FLOW:
            settings = settings | _as_flow(noise_schedule.config)
    else:
        kind, settings = SAMPLERS[check_sampler(name)]
    return getattr(diffusers, kind).from_config(noise_schedule.config, **settings)


def _as_flow(config: Any) -> dict[str, Any]:
    """What makes a solver for noise predictions one for straight paths."""
    return {
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "flow_shift": config.shift,
        "use_dynamic_shifting": config.use_dynamic_shifting,
    }
