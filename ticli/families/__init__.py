"""The table of model families, and what can be read off it. A new family is one row here."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ticli.families.family import EncoderPart, Family
from ticli.families.flux import FLUX
from ticli.families.pixart import PIXART
from ticli.families.sana import SANA
from ticli.families.sd3 import SD3
from ticli.families.stable_diffusion import SD1, SD2, SDXL
from ticli.families.stable_diffusion import STARTER_WIDTH as STARTER_WIDTH

FAMILIES: dict[str, Family] = {
    family.name: family for family in (SD1, SD2, SDXL, SD3, FLUX, PIXART, SANA)
}
# Models that other programs know and no family here is: what is exported for their encoders.
_KEYS = {"comfyui": "encoder-keys", "onetrainer": "encoder-keys"}
OTHERS: Mapping[frozenset[str], tuple[str, Mapping[str, str]]] = {
    frozenset({"clip_g"}): ("Stable Cascade", _KEYS | {"concept-repo": "concept-repo"}),
    frozenset({"clip_l", "llama"}): ("HunyuanVideo", _KEYS),
    frozenset({"clip_l", "clip_g", "t5", "llama"}): ("HiDream", _KEYS | {"comfyui": "t5xxl"}),
}


def encoder_kinds() -> dict[str, str]:
    """The kind of each encoder, by its key, in the order in which pipelines number encoders."""
    return {part.key: part.kind for part in _encoders()}


def encoder_names() -> dict[str, str]:
    """The encoder that each name in a file stands for."""
    return {name: part.key for part in _encoders() for name in (part.key, *part.aliases)}


def encoder_widths() -> dict[int, str]:
    """The encoder whose vectors have a width. Files differ in names, never in widths."""
    # The first family that has a width wins.
    return {width: part.key for part in reversed(_encoders()) for width in part.widths}


def _encoders() -> list[EncoderPart]:
    return [part for family in FAMILIES.values() for part in family.encoders]


def family_with(encoders: Collection[str]) -> Family | None:
    """The first family that has exactly these encoders."""
    return next((f for f in FAMILIES.values() if set(f.keys) == set(encoders)), None)


def guess_family(encoders: Collection[str], *, named: bool) -> str:
    """The family that vectors for these encoders are for, "" where several would take them.

    A file that names its one encoder may be part of a set: other families must not have it.
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
    return OTHERS.get(frozenset(encoders), ("", {}))[1]


def encoders_in_words(encoders: Collection[str]) -> str:
    """The family that takes these encoders' vectors, and the encoders."""
    held = ", ".join(sorted(encoders))
    family = family_with(encoders)
    title = family.title if family else OTHERS.get(frozenset(encoders), ("", {}))[0]
    return f"{title} ({held})" if title else held


def fits(
    family: str, widths: Mapping[str, int], model_family: str, model_widths: Mapping[str, int]
) -> bool:
    """Whether vectors fit a model's text encoders; where no family is known, the widths decide."""
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
