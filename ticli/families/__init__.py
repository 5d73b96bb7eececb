"""The table of model families, and what can be read off it. A new family is one row here."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ticli.families.family import Family
from ticli.families.flux import FLUX
from ticli.families.pixart import PIXART
from ticli.families.sana import SANA
from ticli.families.sd3 import SD3
from ticli.families.stable_diffusion import SD1, SD2, SDXL
from ticli.families.stable_diffusion import STARTER_WIDTH as STARTER_WIDTH

FAMILIES: dict[str, Family] = {
    family.name: family for family in (SD1, SD2, SDXL, SD3, FLUX, PIXART, SANA)
}
# Vectors that programs know and no family here has alone.
STABLE_CASCADE = frozenset({"clip_g"})
CASCADE_EXPORTS = {
    "comfyui": "encoder-keys",
    "onetrainer": "encoder-keys",
    "concept-repo": "concept-repo",
}


def encoder_kinds() -> dict[str, str]:
    """The kind of each encoder, by its key, in the order in which pipelines number encoders."""
    return {part.key: part.kind for family in FAMILIES.values() for part in family.encoders}


def encoder_names() -> dict[str, str]:
    """The encoder that each name in a file stands for."""
    parts = [part for family in FAMILIES.values() for part in family.encoders]
    return {name: part.key for part in parts for name in (part.key, *part.aliases)}


def encoder_widths() -> dict[int, str]:
    """The encoder whose vectors have a width. Files differ in names, never in widths."""
    found: dict[int, str] = {}
    for family in FAMILIES.values():
        for part in family.encoders:
            for width in part.widths:
                found.setdefault(width, part.key)
    return found


def family_with(encoders: Collection[str]) -> Family | None:
    """The first family that has exactly these encoders."""
    return next((f for f in FAMILIES.values() if set(f.keys) == set(encoders)), None)


def guess_family(encoders: Collection[str], *, named: bool) -> str:
    """The family that vectors for these encoders are for, "" where several would take them.

    Files that name their one encoder may be a part of a larger set: then it must be a family's own.
    """
    family = family_with(encoders)
    if family is None or not family.guessed:
        return ""
    takers = [f for f in FAMILIES.values() if set(encoders) <= set(f.keys)]
    return "" if named and len(encoders) == 1 and len(takers) > 1 else family.name


def exports_of(encoders: Collection[str]) -> Mapping[str, str]:
    """The layout of files for vectors of these encoders, by the program that reads it."""
    family = family_with(encoders)
    if family is not None:
        return family.exports
    return CASCADE_EXPORTS if set(encoders) == STABLE_CASCADE else {}


def encoders_in_words(encoders: Collection[str]) -> str:
    """The family that takes these encoders' vectors, and the encoders."""
    held = ", ".join(sorted(encoders))
    family = family_with(encoders)
    if family is not None:
        return f"{family.title} ({held})"
    return f"Stable Cascade ({held})" if set(encoders) == STABLE_CASCADE else held


# Whether vectors can be used with a model: the one rule for all commands.


def fits(
    family: str, widths: Mapping[str, int], model_family: str, model_widths: Mapping[str, int]
) -> bool:
    """Whether vectors of a family and of these widths belong in a model's text encoders.

    A family "" is not known, and the widths decide alone.
    """
    return family in ("", model_family) and dict(widths) == dict(model_widths)


def model_in_words(family: str, widths: Mapping[str, int]) -> str:
    """Such as "Stable Diffusion 1 with 768-wide vectors"."""
    if (family, dict(widths)) == (SD1.name, {"clip_l": STARTER_WIDTH}):
        title = "a small model of its own"
    else:
        title = FAMILIES[family].title if family in FAMILIES else family or "a model"
    *others, last = [f"{width}-" for width in dict.fromkeys(widths.values())] or [""]
    sizes = f"{', '.join(others)} and {last}" if others else last
    return f"{title} with {sizes}wide vectors" if sizes else title
