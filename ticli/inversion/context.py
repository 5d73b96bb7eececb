"""How far a word moves the words around it from where its class word leaves them (CoRe)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from ticli.inversion.starting import class_rows
from ticli.models.model import Model, TextEncoder
from ticli.models.text import Tokenised
from ticli.photos.contexts import contexts
from ticli.photos.sentences import fill

if TYPE_CHECKING:
    from ticli.inversion.plan import Plan

# Sentences encoded at a time when the class word's outputs are made.
BATCH = 16


@dataclass(frozen=True)
class Context:
    """Sentences around a word, and what their other tokens become beside the class word.

    `places[prompt]` are, by encoder, the positions of the tokens that are not the word's, its end
    token included; `wanted[prompt]` are the encoder's outputs there, (positions, width). `padded`
    keeps them by encoder in one tensor, once a recorded step has asked for it.
    """

    concept: str
    prompts: Sequence[Mapping[str, Tokenised]]
    places: Sequence[Mapping[str, list[int]]]
    wanted: Sequence[Mapping[str, torch.Tensor]]
    padded: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


def build_context(model: Model, plan: Plan, vectors: int) -> Context:
    """Encode the sentences once with the class word's vectors in the word's place.

    Only the vectors differ between the two sides, so that a word standing at its class word has
    moved nothing, whatever the tokens count. Raises ValueError where the plan has no class word.
    """
    recipe, name, word = plan.recipe, plan.token.name, plan.class_word
    if word is None:
        raise ValueError(f"{plan.token.text} has no class word to compare its context with")
    texts = contexts(recipe.kind, recipe.context_set, word)
    prompts = _cut(
        model, [model.tokenise(fill(text, plan.trigger), {name: vectors}) for text in texts]
    )
    places = [
        {encoder.key: _places(encoder, prompt[encoder.key]) for encoder in model.encoders}
        for prompt in prompts
    ]
    rows = class_rows(model, word, vectors)
    wanted = []
    with torch.no_grad():
        for begin in range(0, len(prompts), BATCH):
            part = slice(begin, begin + BATCH)
            wanted += _outputs(model, prompts[part], places[part], {name: rows})
    return Context(name, prompts, places, wanted)


def context_distance(
    model: Model,
    context: Context,
    rows: Mapping[str, torch.Tensor],
    numbers: Sequence[int],
) -> torch.Tensor:
    """Mean cosine distance of context tokens to what they are beside the class word, a scalar.

    The text half of CoRe's regulariser (2408.15914), over the prompts `numbers`.
    """
    prompts = [context.prompts[number] for number in numbers]
    places = [context.places[number] for number in numbers]
    distances = []
    for number, found in zip(
        numbers, _outputs(model, prompts, places, {context.concept: rows}), strict=True
    ):
        for key, output in found.items():
            cosine = torch.nn.functional.cosine_similarity(
                output, context.wanted[number][key], dim=1
            )
            distances.append(1 - cosine.mean())
    return torch.stack(distances).mean()


def _cut(model: Model, prompts: Sequence[Mapping[str, Tokenised]]) -> list[dict[str, Tokenised]]:
    """Prompts without the padding that no token of theirs can see: it takes most of the window.

    All of an encoder's are cut at the longest one's end.
    """
    lengths = {
        encoder.key: None
        if encoder.sees_padding
        else max(prompt[encoder.key].end for prompt in prompts) + 1
        for encoder in model.encoders
    }
    return [
        {key: replace(text, ids=text.ids[: lengths[key]]) for key, text in prompt.items()}
        for prompt in prompts
    ]


def _outputs(
    model: Model,
    prompts: Sequence[Mapping[str, Tokenised]],
    places: Sequence[Mapping[str, list[int]]],
    rows: Mapping[str, Mapping[str, torch.Tensor]],
) -> list[dict[str, torch.Tensor]]:
    found: list[dict[str, torch.Tensor]] = [{} for _ in prompts]
    for encoder in model.encoders:
        hidden = encoder.hidden([prompt[encoder.key] for prompt in prompts], rows).float()
        # Encoders that were sent away to save memory answer from where they are.
        hidden = hidden.to(model.device)
        for number, where in enumerate(places):
            found[number][encoder.key] = hidden[number, where[encoder.key]]
    return found


def _places(encoder: TextEncoder, prompt: Tokenised) -> list[int]:
    """Positions of the words that are text, and of the end; a start token never changes."""
    own = {slot.position for slot in prompt.slots}
    begins = prompt.ids[0] == encoder.tokenizer.bos_token_id
    return [place for place in range(int(begins), prompt.end + 1) if place not in own]
