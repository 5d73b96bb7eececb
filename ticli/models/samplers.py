"""The samplers a picture can be drawn with, by the names users know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ticli.errors import Usage
from ticli.families import FAMILIES
from ticli.families.family import DIFFUSION, FLOW

Samplers = Mapping[str, tuple[str, dict[str, Any]]]


def samplers_for(family: str) -> Samplers:
    """The samplers that models of a family can be drawn with."""
    return FAMILIES[family].law.samplers


def check_sampler(name: str, known: Samplers = DIFFUSION.samplers) -> str:
    """Return a sampler's name if it is `known`. Raises Usage naming those that are."""
    if name not in known:
        elsewhere = " for this model" if name in DIFFUSION.samplers else ""
        raise Usage(f"no sampler named {name!r}{elsewhere}", f"samplers: {', '.join(known)}")
    return name


def make_sampler(name: str, noise_schedule: Any) -> Any:
    """The diffusers scheduler called `name` over the model's own noise schedule."""
    import diffusers

    law = FLOW if type(noise_schedule).__name__ == FLOW.schedule else DIFFUSION
    kind, settings = law.samplers[check_sampler(name, law.samplers)]
    config = noise_schedule.config
    if law is FLOW and kind != FLOW.schedule:
        # These make a solver for noise predictions one for straight paths.
        settings = settings | {
            "prediction_type": "flow_prediction",
            "use_flow_sigmas": True,
            "flow_shift": config.shift,
            "use_dynamic_shifting": config.use_dynamic_shifting,
        }
    return getattr(diffusers, kind).from_config(config, **settings)
