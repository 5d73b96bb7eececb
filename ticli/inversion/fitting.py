"""Whether a recipe's options go together with a model and a library, known before torch is."""

from __future__ import annotations

from ticli.errors import Conflict, Usage
from ticli.inversion.names import twin_token
from ticli.library.library import Library
from ticli.models.families import FAMILIES
from ticli.models.families.flow import FLOW
from ticli.models.image_towers import find_tower
from ticli.models.source import ModelSource
from ticli.names import Token
from ticli.recipe import Recipe


def check_options(
    recipe: Recipe, source: ModelSource, token: Token, library: Library, replacing: bool
) -> None:
    """Refuse what the model cannot do, and a negative twin whose name is taken.

    Raises Usage, Conflict, NotFound and ModelUnavailable.
    """
    if recipe.min_snr and FAMILIES[source.family].law is FLOW:
        raise Usage(
            f"min_snr {recipe.min_snr:g} weighs a diffusion's timesteps, and {source.id} is a "
            "flow model",
            "leave out --min-snr; --timestep-weighting logit-normal is what such models use",
        )
    if recipe.warm_start:
        find_tower(source, recipe.warm_start)
    if not recipe.negative_vectors:
        return
    if not source.reads_negative:
        raise Usage(
            f"{source.id} takes no negative prompt, so a negative twin would be of no use",
            "leave out --negative-vectors",
        )
    twin = twin_token(token)
    if library.find(twin.name) is not None and not replacing:
        raise Conflict(
            f"{twin.name!r}, the name of the negative twin, is in the library already",
            f"give --replace, or `ti rename {twin.name} NEW` first",
            name=twin.name,
        )
