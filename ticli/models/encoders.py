"""A text encoder that reads vectors in the places of a prompt's placeholders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ticli.models.conditioning import Encoding
from ticli.models.families.family import EncoderPart
from ticli.models.text import Frame, Tokenised

Rows = Mapping[str, Mapping[str, torch.Tensor]]

# T5 has no start token, and Gemma gets no end.
FRAMES = {"clip": Frame(), "t5": Frame(start=False), "gemma": Frame(end=False)}


@dataclass(frozen=True)
class TextEncoder:
    """One frozen text encoder with its tokenizer; `key` is its name in an Embedding."""

    key: str
    module: Any
    tokenizer: Any
    window: int
    part: EncoderPart

    @property
    def table(self) -> torch.Tensor:
        """The vocabulary's vectors, (words, width), in the encoder's precision."""
        weight: torch.Tensor = self._embedding.weight
        return weight

    @property
    def _embedding(self) -> Any:
        """The module that looks vectors up; T5's encoder has one of its own over shared rows."""
        inner = self.module.encoder if self.part.kind == "t5" else self.module
        return inner.get_input_embeddings()

    def hidden(self, batch: Sequence[Tokenised], rows: Rows) -> torch.Tensor:
        """Encode a batch, the vectors of `rows` standing in their slots: (batch, window, width).

        Gradients flow to the rows and to nothing else.
        """
        return self.encode(batch, rows).hidden

    def encode(self, batch: Sequence[Tokenised], rows: Rows) -> Encoding:
        """Encode a batch as `hidden` does, with its mask and, where wanted, its pooled text."""
        device = self.table.device
        longest = max(len(prompt.ids) + len(prompt.instruction) for prompt in batch)
        ids = torch.tensor([self._read(prompt, longest) for prompt in batch], device=device)
        mask = torch.tensor([_mask(prompt, longest) for prompt in batch], device=device)
        with self._placed(batch, rows):
            hidden, pooled = READERS[self.part.kind](self, ids, mask, batch)
        if any(prompt.instruction for prompt in batch):
            shown = torch.tensor([_shown(prompt) for prompt in batch], device=device)
            hidden = hidden.gather(1, shown[..., None].expand(-1, -1, hidden.shape[-1]))
            mask = mask.gather(1, shown)
        return Encoding(hidden, pooled, mask)

    def _read(self, prompt: Tokenised, length: int) -> list[int]:
        """The ids the encoder reads: the instruction put in, padded to one length."""
        ids = [*prompt.ids[:1], *prompt.instruction, *prompt.ids[1:]]
        return ids + [self.tokenizer.pad_token_id] * (length - len(ids))

    @contextmanager
    def _placed(self, batch: Sequence[Tokenised], rows: Rows) -> Iterator[None]:
        """Put vectors into the output of the token table for one call, then unhook.

        Some tables scale what they look up; the vectors are scaled alike, so that they are kept
        in the units of the table's rows.
        """
        slots = [(row, slot) for row, prompt in enumerate(batch) for slot in prompt.slots]
        if not slots:
            yield
            return
        device, embedding = self.table.device, self._embedding
        where = (
            torch.tensor([row for row, _ in slots], device=device),
            torch.tensor([_position(batch[r], slot.position) for r, slot in slots], device=device),
        )
        vectors = torch.stack([rows[slot.concept][self.key][slot.vector] for _, slot in slots])
        scale = getattr(embedding, "embed_scale", None)

        def put(_module: Any, _args: Any, output: torch.Tensor) -> torch.Tensor:
            placed = vectors.to(output.device, output.dtype)
            if scale is not None:
                placed = placed * scale.to(output.device, output.dtype)
            return output.index_put(where, placed)

        handle = embedding.register_forward_hook(put)
        try:
            yield
        finally:
            handle.remove()


def _position(prompt: Tokenised, position: int) -> int:
    """Where a position of the window stands in what the encoder reads."""
    return position + len(prompt.instruction) if position else 0


def _mask(prompt: Tokenised, length: int) -> list[int]:
    read = prompt.end + 1 + len(prompt.instruction)
    return [1] * read + [0] * (length - read)


def _shown(prompt: Tokenised) -> list[int]:
    return [_position(prompt, position) for position in range(len(prompt.ids))]


Read = tuple[torch.Tensor, torch.Tensor | None]


def _read_clip(
    encoder: TextEncoder, ids: torch.Tensor, _mask: torch.Tensor, batch: Sequence[Tokenised]
) -> Read:
    """CLIP's pooled text stands at the end token: not at the largest id, as some configs say."""
    part, module = encoder.part, encoder.module
    output = module(ids, output_hidden_states=part.penultimate)
    last = output.last_hidden_state
    hidden = output.hidden_states[-2] if part.penultimate else last
    if not part.pooled:
        return hidden, None
    ends = torch.tensor([prompt.end for prompt in batch], device=ids.device)
    pooled = last[torch.arange(len(batch), device=ids.device), ends]
    return hidden, module.text_projection(pooled) if part.projected else pooled


def _read_masked(
    encoder: TextEncoder, ids: torch.Tensor, mask: torch.Tensor, _batch: Sequence[Tokenised]
) -> Read:
    output = encoder.module(ids, attention_mask=mask if encoder.part.masked else None)
    return output.last_hidden_state, None


READERS: dict[str, Callable[..., Read]] = {
    "clip": _read_clip,
    "t5": _read_masked,
    "gemma": _read_masked,
}
