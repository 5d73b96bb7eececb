"""How far a concept moves the words around it from where its class word leaves them (CoRe)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """Sentences around a concept, and what their other tokens come to beside its class word.

    By encoder, `wanted` are its outputs (prompts, tokens, width), and `shares` (prompts, tokens)
    what each token counts for. A prompt's own words and its end share one; the concept, the start
    and padding count for nothing.
    """

    concept: str
    prompts: Sequence[Mapping[str, Tokenised]]
    wanted: Mapping[str, torch.Tensor]
    shares: Mapping[str, torch.Tensor]


def build_context(model: Model, plan: Plan, vectors: int) -> Context:
    """Encode the sentences once with the class word's vectors in the concept's place.

    Only the vectors differ between the two sides, so a concept that equals its class word has
    moved nothing, however many tokens there are. Raises ValueError if the plan has no class word.
    """
    recipe, name, word = plan.recipe, plan.token.name, plan.class_word
    if word is None:
        raise ValueError(f"{plan.token.text} has no class word to compare its context with")
    texts = contexts(recipe.kind, recipe.context_set, word)
    prompts = _cut(
        model, [model.tokenise(fill(text, plan.trigger), {name: vectors}) for text in texts]
    )
    rows = {name: class_rows(model, word, vectors)}
    wanted, shares = {}, {}
    for encoder in model.encoders:
        own = [prompt[encoder.key] for prompt in prompts]
        batches = [own[begin : begin + BATCH] for begin in range(0, len(own), BATCH)]
        with torch.no_grad():
            outputs = torch.cat([_outputs(model, encoder, batch, rows) for batch in batches])
        counted = outputs.new_zeros(outputs.shape[:2])
        for number, prompt in enumerate(own):
            # Its own words and its end count; the start token never changes.
            held = {slot.position for slot in prompt.slots}
            begins = int(prompt.ids[0] == encoder.tokenizer.bos_token_id)
            places = [place for place in range(begins, prompt.end + 1) if place not in held]
            counted[number, places] = 1 / len(places)
        wanted[encoder.key], shares[encoder.key] = outputs, counted
    return Context(name, prompts, wanted, shares)


def context_distance(
    model: Model,
    context: Context,
    rows: Mapping[str, torch.Tensor],
    numbers: Sequence[int],
) -> torch.Tensor:
    """Mean cosine distance of context tokens to what they are beside the class word, a scalar.

    The text half of CoRe's regulariser (2408.15914), over the prompts `numbers`.
    """
    chosen = list(numbers)
    return mean_distance(
        (
            _outputs(
                model,
                encoder,
                [context.prompts[number][encoder.key] for number in chosen],
                {context.concept: rows},
            ),
            context.wanted[encoder.key][chosen],
            context.shares[encoder.key][chosen],
        )
        for encoder in model.encoders
    )


def mean_distance(
    encoded: Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
) -> torch.Tensor:
    """The distance from each encoder's outputs, wanted outputs and shares, as Context has them."""
    cosines = [
        (torch.nn.functional.cosine_similarity(outputs, wanted, dim=2) * shares).sum(1)
        for outputs, wanted, shares in encoded
    ]
    return (1 - torch.cat(cosines)).mean()


def _cut(model: Model, prompts: Sequence[Mapping[str, Tokenised]]) -> list[dict[str, Tokenised]]:
    """Cut prompts at the longest one's end, unless the encoder's tokens see the padding."""
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
    encoder: TextEncoder,
    prompts: Sequence[Tokenised],
    rows: Mapping[str, Mapping[str, torch.Tensor]],
) -> torch.Tensor:
    """Float32 outputs (prompts, tokens, width), also of an encoder that was sent away."""
    return encoder.encode(prompts, rows).hidden.float().to(model.device)


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
        hidden = _outputs(model, encoder, batch, rows)
    return [hidden[row, begin : _stop(encoder, one)] for row, one in enumerate(batch)]


def _stop(encoder: TextEncoder, prompt: Tokenised) -> int:
    """The position after a prompt's last word: not every encoder takes an end token."""
    has_end = prompt.ids[prompt.end] == encoder.tokenizer.eos_token_id
    return prompt.end if has_end else prompt.end + 1
