"""How far a word drags the rest of a prompt along: the drift of its context tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ticli.models.model import Model, Rows, TextEncoder
from ticli.models.text import Tokenised

# Scenes whose words must go on meaning what they mean; none of them is used to score a word.
SCENES = (
    "a {} in a quiet garden",
    "a {} on a wooden table",
    "a {} under a bridge at night",
    "a {} in a busy street",
    "a {} made of glass",
    "a {} beside a small boat",
)


@dataclass(frozen=True)
class Context:
    """The scenes with a word in them, and what each encoder makes of the class word there.

    `begins` are the positions at which the scenes' other words begin; `reference` their outputs
    beside the class word, (words, width), one tensor a scene.
    """

    prompts: Sequence[Mapping[str, Tokenised]]
    begins: Mapping[str, int]
    reference: Mapping[str, Sequence[torch.Tensor]]


def context_of(model: Model, trigger: str, vectors: Mapping[str, int], class_word: Rows) -> Context:
    """Set the scenes up. `trigger` is what stands in prompts, `class_word` its rows to begin with.

    The class word fills the same slots, so that every other word stands where it will stand.
    """
    prompts = [model.tokenise(scene.format(trigger), vectors) for scene in SCENES]
    before = model.tokenise(f"a {trigger}", vectors)
    begins = {encoder.key: _stop(encoder, before[encoder.key]) for encoder in model.encoders}
    reference = {key: _outputs(model, key, prompts, begins[key], class_word) for key in begins}
    return Context(prompts, begins, reference)


def drift(model: Model, context: Context, word: Rows) -> float:
    """1 minus the mean cosine of the scenes' other words beside `word` and beside the class word.

    CoRe's measure (2408.15914, eq. 4), taken here and not trained on. The subject's own positions
    are no part of it; 0 where so many vectors stand there that no other word finds room.
    """
    cosines = []
    for key, begin in context.begins.items():
        outputs = _outputs(model, key, context.prompts, begin, word)
        for output, reference in zip(outputs, context.reference[key], strict=True):
            cosines.append(torch.nn.functional.cosine_similarity(output, reference, dim=-1))
    every = torch.cat(cosines)
    return float(1 - every.mean()) if len(every) else 0.0


def _outputs(
    model: Model, key: str, prompts: Sequence[Mapping[str, Tokenised]], begin: int, word: Rows
) -> list[torch.Tensor]:
    (encoder,) = (encoder for encoder in model.encoders if encoder.key == key)
    batch = [prompt[key] for prompt in prompts]
    with model.encoders_at_hand(), torch.no_grad():
        hidden = encoder.hidden(batch, word).float().to(model.device)
    return [hidden[row, begin : _stop(encoder, one)] for row, one in enumerate(batch)]


def _stop(encoder: TextEncoder, prompt: Tokenised) -> int:
    """The position after a prompt's last word: not every encoder takes an end token."""
    has_end = prompt.ids[prompt.end] == encoder.tokenizer.eos_token_id
    return prompt.end if has_end else prompt.end + 1
