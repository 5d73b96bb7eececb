"""The families of models that `ti` knows, by name and by the pipeline a model names."""

from __future__ import annotations

from ticli.models.families.family import Family
from ticli.models.families.flux import FLUX
from ticli.models.families.pixart import PIXART
from ticli.models.families.sana import SANA
from ticli.models.families.sd1 import SD1
from ticli.models.families.sd2 import SD2
from ticli.models.families.sd3 import SD3
from ticli.models.families.sdxl import SDXL

FAMILIES: dict[str, Family] = {
    family.name: family for family in (SD1, SD2, SDXL, SD3, FLUX, PIXART, SANA)
}
