"""What a run learns from: latents, the sentences each photo may be given, and what weighs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from ticli.errors import Usage
from ticli.inversion.context import Context, build_context
from ticli.inversion.latents import Latents
from ticli.inversion.names import private_name, twin_name
from ticli.models.model import Model
from ticli.models.text import Tokenised

if TYPE_CHECKING:
    from ticli.inversion.plan import Plan

Prompt = Mapping[str, Tokenised]
Sentences = Sequence[Sequence[Prompt]]


@dataclass(frozen=True)
class Twin:
    """The negative twin's prompt, and how strongly a prediction is guided away from it."""

    prompt: Prompt
    guidance: float


@dataclass(frozen=True)
class Stage:
    """The texts of a run while its word has a certain number of vectors."""

    sentences: Sentences
    private: Sentences = ()
    context: Context | None = None


@dataclass(frozen=True)
class Examples:
    """What a run learns from.

    `sentences[photo]` are tokenised prompts that hold the placeholder of `concept`, `private` the
    same ones with the photo's own word. `earlier` are the stages before the word has all its
    vectors, the first with one. `masks` (photos, 2, 1, height/8, width/8) weigh the loss in
    [0, 1], `min_snr` weighs it by timestep where it is not 0.
    """

    concept: str
    latents: Latents
    sentences: Sentences
    private: Sentences = ()
    context: Context | None = None
    earlier: Sequence[Stage] = ()
    masks: torch.Tensor | None = None
    twin: Twin | None = None
    min_snr: float = 0.0

    def at(self, vectors: int) -> Examples:
        """The examples while the word has so many vectors; all of them in the end."""
        if vectors > len(self.earlier):
            return self
        stage = self.earlier[vectors - 1]
        return replace(
            self, sentences=stage.sentences, private=stage.private, context=stage.context
        )

    def prompt(self, photo: int, number: int, private: bool = False) -> Prompt:
        """The sentence a draw picked for a photo; numbers wrap around."""
        choices = (self.private if private else self.sentences)[photo]
        return choices[number % len(choices)]


def build_examples(
    model: Model,
    plan: Plan,
    photos: Sequence[int],
    latents: Latents,
    masks: torch.Tensor | None = None,
) -> Examples:
    """Tokenise all that a run will say of the plan's `photos`, of which the latents are.

    Raises Usage where a placeholder would be cut off.
    """
    recipe = plan.recipe
    texts = [plan.sentences[photo] for photo in photos]
    first = 1 if recipe.extend_every else recipe.vectors
    stages = [_stage(model, plan, texts, count) for count in range(first, recipe.vectors + 1)]
    *earlier, full = stages
    return Examples(
        plan.token.name,
        latents,
        full.sentences,
        full.private,
        full.context,
        earlier,
        masks,
        twin_of(model, plan) if recipe.negative_vectors else None,
        recipe.min_snr,
    )


def _stage(model: Model, plan: Plan, texts: Sequence[Sequence[str]], vectors: int) -> Stage:
    name = plan.token.name
    placeholders = {name: vectors}
    every = dict.fromkeys(text for choices in texts for text in choices)
    known = {text: whole(model, text, placeholders) for text in every}
    private: list[list[Prompt]] = []
    for photo, choices in enumerate(texts if plan.recipe.photo_words else ()):
        private.append(beside_own_word(model, choices, private_name(name, photo), placeholders))
    context = build_context(model, plan, vectors) if plan.recipe.context else None
    return Stage([[known[text] for text in choices] for choices in texts], private, context)


def beside_own_word(
    model: Model, texts: Sequence[str], own: str, placeholders: Mapping[str, int]
) -> list[Prompt]:
    """Sentences with a photo's own word besides, as in the paper's code. Raises Usage.

    What is the photo's alone goes into that word.
    """
    added = {**placeholders, own: 1}
    return [whole(model, f"{text} with <{own}>", added, spare="--photo-words 0") for text in texts]


def twin_of(model: Model, plan: Plan) -> Twin:
    """The prompt that a run's word is guided away from. Raises Usage where it would be cut off."""
    name = twin_name(plan.token.name)
    prompt = whole(model, f"<{name}>", {name: plan.recipe.negative_vectors}, negative=True)
    return Twin(prompt, plan.recipe.negative_guidance)


def whole(
    model: Model,
    text: str,
    placeholders: Mapping[str, int],
    *,
    negative: bool = False,
    spare: str = "fewer --vectors",
) -> Prompt:
    """Tokenise a sentence, all of whose placeholders must fit; `spare` makes room, too.

    Raises Usage.
    """
    prompt = model.tokenise(text, placeholders, negative=negative)
    for key, tokenised in prompt.items():
        if tokenised.lost:
            words = " and ".join(f"<{name}>" for name in tokenised.lost)
            raise Usage(
                f"{words} would be cut off from {text!r}: {model.source.id} reads "
                f"{model.source.room(key)} tokens",
                f"shorten the sentence or caption, or use {spare}",
            )
    return prompt


@dataclass(frozen=True)
class HeldOut:
    """Latents that are not trained on, the sentences of each with the word's trigger, its mask.

    `masks` are as those of Examples, or None where the loss is not weighed. `own_words`: whether
    the sentences hold the words that are the photos' own, which are trained on in the same order.
    """

    latents: Latents
    sentences: Sequence[Sequence[str]]
    masks: torch.Tensor | None = None
    own_words: bool = False
