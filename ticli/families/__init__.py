"""The families of models that `ti` knows, by name and by the pipeline a model names."""

from __future__ import annotations

from ticli.families.family import Family
from ticli.families.flux import FLUX
from ticli.families.pixart import PIXART
from ticli.families.sana import SANA
from ticli.families.sd3 import SD3
from ticli.families.stable_diffusion import SD1, SD2, SDXL

FAMILIES: dict[str, Family] = {
    family.name: family for family in (SD1, SD2, SDXL, SD3, FLUX, PIXART, SANA)
}
