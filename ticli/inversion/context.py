"""How far a concept moves the words around it from where its class word leaves them (CoRe)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from ticli.inversion.vectors import class_rows
from ticli.models.model import Model, Rows, TextEncoder
from ticli.models.text_encoder import Tokenised
from ticli.photos.sentences import contexts, fill

if TYPE_CHECKING:
    from ticli.inversion.plan import Plan


# Sentences encoded at a time when the class word's outputs are made.
BATCH = 16


@dataclass(frozen=True)
class Context:
    """Sentences around a concept, and their other tokens' outputs beside the class word.

    `places[prompt]` are, by encoder, the positions of the other tokens, the end token included;
    `wanted[prompt]` are the encoder's outputs there, (positions, width). `padded` keeps them by
    encoder in one tensor, once a recorded step needs it.
    """

    concept: str
    prompts: Sequence[Mapping[str, Tokenised]]
    places: Sequence[Mapping[str, list[int]]]
    wanted: Sequence[Mapping[str, torch.Tensor]]
    padded: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


def build_context(model: Model, plan: Plan, vectors: int) -> Context:
    """Encode the sentences once with the class word's vectors in the concept's place.

    Only the vectors differ between the two sides, so a concept that equals its class word has
    moved nothing, however many tokens there are. Raises ValueError where the plan has no class
    word.
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
        hidden = encoder.encode([prompt[encoder.key] for prompt in prompts], rows).hidden.float()
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


# Scenes whose words must go on meaning what they mean; none of them is used to score a concept.
SCENES = (
    "a {} in a quiet garden",
    "a {} on a wooden table",
    "a {} under a bridge at night",
    "a {} in a busy street",
    "a {} made of glass",
    "a {} beside a small boat",
)


@dataclass(frozen=True)
class DriftContext:
    """The scenes with a concept in them, and what each encoder makes of the class word there.

    `begins` are the positions at which the scenes' other words begin; `reference` their outputs
    beside the class word, (words, width), one tensor a scene.
    """

    prompts: Sequence[Mapping[str, Tokenised]]
    begins: Mapping[str, int]
    reference: Mapping[str, Sequence[torch.Tensor]]


def context_of(
    model: Model, trigger: str, vectors: Mapping[str, int], class_word: Rows
) -> DriftContext:
    """Set the scenes up. `trigger` is what stands in prompts, `class_word` its rows to begin with.

    The class word fills the same slots, so that every other word stands where it will stand.
    """
    prompts = [model.tokenise(scene.format(trigger), vectors) for scene in SCENES]
    before = model.tokenise(f"a {trigger}", vectors)
    begins = {encoder.key: _stop(encoder, before[encoder.key]) for encoder in model.encoders}
    reference = {
        key: _context_outputs(model, key, prompts, begins[key], class_word) for key in begins
    }
    return DriftContext(prompts, begins, reference)


def drift(model: Model, context: DriftContext, concept: Rows) -> float:
    """1 minus the mean cosine of the scenes' other words beside the concept and the class word.

    CoRe's measure (2408.15914, eq. 4), taken here and not trained on. The subject's own positions
    are no part of it; 0 where so many vectors stand there that no other word finds room.
    """
    cosines = []
    for key, begin in context.begins.items():
        outputs = _context_outputs(model, key, context.prompts, begin, concept)
        for output, reference in zip(outputs, context.reference[key], strict=True):
            cosines.append(torch.nn.functional.cosine_similarity(output, reference, dim=-1))
    every = torch.cat(cosines)
    return float(1 - every.mean()) if len(every) else 0.0


def _context_outputs(
    model: Model, key: str, prompts: Sequence[Mapping[str, Tokenised]], begin: int, rows: Rows
) -> list[torch.Tensor]:
    (encoder,) = (encoder for encoder in model.encoders if encoder.key == key)
    batch = [prompt[key] for prompt in prompts]
    with model.encoders_at_hand(), torch.no_grad():
        hidden = encoder.encode(batch, rows).hidden.float().to(model.device)
    return [hidden[row, begin : _stop(encoder, one)] for row, one in enumerate(batch)]


def _stop(encoder: TextEncoder, prompt: Tokenised) -> int:
    """The position after a prompt's last word: not every encoder takes an end token."""
    has_end = prompt.ids[prompt.end] == encoder.tokenizer.eos_token_id
    return prompt.end if has_end else prompt.end + 1
