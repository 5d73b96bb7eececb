"""The families of models that `ti` knows, by name and by the pipeline a model names."""

from __future__ import annotations

from ticli.models.families.family import Family
from ticli.models.families.flux import FLUX
from ticli.models.families.pixart import PIXART
from ticli.models.families.sana import SANA
from ticli.models.families.sd3 import SD3
from ticli.models.families.stable_diffusion import SD1, SD2, SDXL

FAMILIES: dict[str, Family] = {
    family.name: family for family in (SD1, SD2, SDXL, SD3, FLUX, PIXART, SANA)
}
