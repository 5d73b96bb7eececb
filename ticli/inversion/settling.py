"""What a recipe leaves to the run: the word to start from, its noun, the size, what applies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ticli.concept import Concept
from ticli.errors import Usage
from ticli.inversion.lineage import check_lineage
from ticli.library.library import Library
from ticli.models.source import ModelSource
from ticli.names import TOKEN, Token
from ticli.recipe import Recipe

FALLBACK_INIT = "object"
AUTO = "auto"
CHOSEN_INITS = ("random", "mean", AUTO)


def class_word(recipe: Recipe, start: Concept | None) -> str | None:
    """A settled recipe's class word; None for a word that starts at no word of the vocabulary."""
    if recipe.noun:
        return recipe.noun
    return None if start is not None or recipe.init in ("random", "mean") else recipe.init


def settle(
    recipe: Recipe, source: ModelSource, words: Mapping[str, int], where: tuple[Token, Library]
) -> tuple[Recipe, Concept | None, list[str]]:
    """Fill in the values a recipe leaves to the run: init word, noun and size.

    Given the vocabulary's `words`, and the new token with its library; the settled recipe, the
    concept that it starts from, if any, and what is to be said of it. Raises Usage, NotFound and
    Conflict.
    """
    token, library = where
    notes: list[str] = []
    init, start = recipe.init.strip(), None
    named = bool(init) or f"{token.name}</w>" in words
    if not init:
        init = token.name if named else FALLBACK_INIT
        if not named:
            notes.append(
                f"starting from the word {FALLBACK_INIT!r}, since {token.name!r} is no word of "
                f"{source.id}; --init WORD chooses a closer one"
            )
    if init == AUTO:
        notes.append(
            f"the photos choose the word to start from, among up to {recipe.init_candidates}"
            f"{', and the class word with it' if noun_follows(recipe) else ''}"
        )
    if match := TOKEN.fullmatch(init):
        start = library.get(match[1])
        check_lineage(start, source)
        init = start.token
    noun = recipe.noun
    if noun == "auto":
        is_word = named and init not in CHOSEN_INITS and recipe.kind != "style"
        noun = (start.noun if start else init) if is_word else ""
    recipe = replace(recipe, init=init, noun=noun, timestep_low=recipe.least_noise)
    if recipe.context and class_word(recipe, start) is None:
        notes.append("context is left out: there is no class word to compare with; --noun WORD")
        recipe = replace(recipe, context=0.0)
    size = recipe.size or source.size
    grain = source.grain
    if size % grain:
        near = max(grain, size // grain * grain)
        raise Usage(f"size must be a multiple of {grain}, not {size}", f"--size {near}")
    return replace(recipe, size=size), start, notes


def noun_follows(recipe: Recipe) -> bool:
    """Whether the word that the photos choose becomes the noun too."""
    return recipe.init.strip() == AUTO and recipe.noun == "auto" and recipe.kind != "style"


def settle_photo_words(recipe: Recipe, photos: int) -> tuple[Recipe, list[str]]:
    """Words of the photos' own need photos to tell apart: of one photo it would be the word's twin.

    The recipe for so many photos, and what is to be said of it.
    """
    if not recipe.own_words or photos > 1:
        return replace(recipe, photo_words=recipe.own_words), []
    return replace(recipe, photo_words=0.0), [
        "there is one photo, and so no word of the photo's own beside the concept's"
    ]
