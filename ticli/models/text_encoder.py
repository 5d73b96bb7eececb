"""A text encoder that reads vectors in the places of a prompt's placeholders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ticli.families.family import EncoderPart, Encoding
from ticli.names import Placeholder, split_prompt

# Prompts to token ids: a placeholder takes the slots of its vectors, text goes as text.


@dataclass(frozen=True)
class Slot:
    """A position in the encoder's window that one vector of a concept fills."""

    position: int
    concept: str
    vector: int


@dataclass(frozen=True)
class Tokenised:
    """One prompt for one encoder: `ids` fill the window, start, end and padding included.

    `end` is the position of the end token, or of the last token where an encoder takes none.
    `cut` is the text that fell outside; `lost` names the concepts with a vector outside.
    `instruction` stands behind the first token when the encoder reads, and in no position here.
    """

    ids: tuple[int, ...]
    slots: tuple[Slot, ...]
    end: int
    cut: str
    lost: tuple[str, ...]
    instruction: tuple[int, ...] = ()


@dataclass(frozen=True)
class Frame:
    """What stands around a prompt: a start and an end token, an instruction before it."""

    start: bool = True
    end: bool = True
    lower: bool = False
    instruction: str = ""

    @property
    def tokens(self) -> int:
        """How many places of the window the prompt cannot have."""
        return self.start + self.end


CLIP_FRAME = Frame()


def tokenise(
    tokenizer: Any,
    window: int,
    prompt: str,
    vectors: Mapping[str, int],
    frame: Frame = CLIP_FRAME,
) -> Tokenised:
    """Tokenise a prompt for one encoder; names in `vectors` are placeholders, others are text.

    A slot holds an ordinary id below the end token, which the encoder's hook overwrites: an id
    above it would move the pooled output of encoders that pool at the largest id.
    """
    filler = tokenizer("a", add_special_tokens=False).input_ids[0]
    body, hidden = _body(tokenizer, prompt, vectors, frame)
    room = window - frame.tokens
    instruction, kept, rest = body[:hidden], body[hidden : hidden + room], body[hidden + room :]
    slots = tuple(
        Slot(position, *item)
        for position, item in enumerate(kept, int(frame.start))
        if isinstance(item, tuple)
    )
    ids = [tokenizer.bos_token_id] if frame.start else []
    ids += [filler if isinstance(item, tuple) else item for item in kept]
    if frame.end:
        ids.append(tokenizer.eos_token_id)
    end = max(0, len(ids) - 1)
    ids += [tokenizer.pad_token_id] * (window - len(ids))
    lost = tuple(dict.fromkeys(item[0] for item in rest if isinstance(item, tuple)))
    cut = tokenizer.decode([item for item in rest if isinstance(item, int)])
    plain = tuple(item for item in instruction if isinstance(item, int))
    return Tokenised(tuple(ids), slots, end, cut.strip(), lost, plain)


def _body(
    tokenizer: Any, prompt: str, vectors: Mapping[str, int], frame: Frame
) -> tuple[list[int | tuple[str, int]], int]:
    """The prompt's tokens, and how many of an instruction's before it are not passed on.

    The instruction's last token is: a prompt's first word may have been joined to it.
    """
    pieces = _merged(prompt.lower().strip() if frame.lower else prompt, vectors)
    hidden = 0
    if frame.instruction:
        hidden = len(tokenizer(frame.instruction, add_special_tokens=False).input_ids) - 1
        first = pieces.pop(0) if pieces and isinstance(pieces[0], str) else ""
        pieces.insert(0, f"{frame.instruction}{first}")
    body: list[int | tuple[str, int]] = []
    for piece in pieces:
        if isinstance(piece, Placeholder):
            body += [(piece.name, number) for number in range(vectors[piece.name])]
        else:
            body += tokenizer(piece, add_special_tokens=False).input_ids
    return body, hidden


def _merged(prompt: str, vectors: Mapping[str, int]) -> list[str | Placeholder]:
    """Cut a prompt at known placeholders only; the rest is put back together as text."""
    pieces: list[str | Placeholder] = []
    for piece in split_prompt(prompt):
        if isinstance(piece, Placeholder) and piece.name in vectors:
            pieces.append(piece)
            continue
        text = piece.text if isinstance(piece, Placeholder) else piece
        if pieces and isinstance(pieces[-1], str):
            pieces[-1] += text
        else:
            pieces.append(text)
    return pieces


Rows = Mapping[str, Mapping[str, torch.Tensor]]


@dataclass(frozen=True)
class EncoderInput:
    """A batch of prompts as tensors, all whole numbers: `ids` and `mask` are (batch, length).

    `ends` (batch,) are the places of end tokens. The vectors of slot i go to `rows[i]`,
    `places[i]`. `shown` (batch, window) says what is passed on where an instruction is not.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    ends: torch.Tensor
    rows: torch.Tensor
    places: torch.Tensor
    shown: torch.Tensor | None


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
    def sees_padding(self) -> bool:
        """Whether padding changes what becomes of a prompt: not where words look back alone."""
        return self.part.kind == "t5" and not self.part.masked

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
        return self.read(self.lay_out(batch), self.gather(batch, rows))

    def lay_out(self, batch: Sequence[Tokenised]) -> EncoderInput:
        """A batch as the tensors that the encoder reads, on its device."""
        device = self.table.device
        longest = max(len(prompt.ids) + len(prompt.instruction) for prompt in batch)
        slots = [(row, slot) for row, prompt in enumerate(batch) for slot in prompt.slots]
        instructed = any(prompt.instruction for prompt in batch)
        return EncoderInput(
            ids=torch.tensor([self._read(prompt, longest) for prompt in batch], device=device),
            mask=torch.tensor([_mask(prompt, longest) for prompt in batch], device=device),
            ends=torch.tensor([prompt.end for prompt in batch], device=device),
            rows=torch.tensor([row for row, _ in slots], device=device, dtype=torch.long),
            places=torch.tensor(
                [_position(batch[row], slot.position) for row, slot in slots],
                device=device,
                dtype=torch.long,
            ),
            shown=torch.tensor([_shown(p) for p in batch], device=device) if instructed else None,
        )

    def gather(self, batch: Sequence[Tokenised], rows: Rows) -> torch.Tensor | None:
        """The vectors of a batch's slots in their order, (slots, width); None without slots."""
        slots = [slot for prompt in batch for slot in prompt.slots]
        if not slots:
            return None
        return torch.stack([rows[slot.concept][self.key][slot.vector] for slot in slots])

    def read(self, layout: EncoderInput, vectors: torch.Tensor | None) -> Encoding:
        """Encode what is laid out, the vectors standing in its places."""
        with self._placed(layout, vectors):
            hidden, pooled = READERS[self.part.kind](self, layout)
        mask = layout.mask
        if layout.shown is not None:
            shown = layout.shown
            hidden = hidden.gather(1, shown[..., None].expand(-1, -1, hidden.shape[-1]))
            mask = mask.gather(1, shown)
        return Encoding(hidden, pooled, mask)

    def _read(self, prompt: Tokenised, length: int) -> list[int]:
        """The ids the encoder reads: the instruction put in, padded to one length."""
        ids = [*prompt.ids[:1], *prompt.instruction, *prompt.ids[1:]]
        return ids + [self.tokenizer.pad_token_id] * (length - len(ids))

    @contextmanager
    def _placed(self, layout: EncoderInput, vectors: torch.Tensor | None) -> Iterator[None]:
        """Put vectors into the output of the token table for one call, then unhook.

        Some tables scale what they look up; the vectors are scaled alike, so that they are kept
        in the units of the table's rows.
        """
        if vectors is None:
            yield
            return
        embedding = self._embedding
        scale = getattr(embedding, "embed_scale", None)

        def put(_module: Any, _args: Any, output: torch.Tensor) -> torch.Tensor:
            placed = vectors.to(output.device, output.dtype)
            if scale is not None:
                placed = placed * scale.to(output.device, output.dtype)
            return output.index_put((layout.rows, layout.places), placed)

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


def _read_clip(encoder: TextEncoder, layout: EncoderInput) -> Read:
    """CLIP's pooled text stands at the end token: not at the largest id, as some configs say."""
    part, module = encoder.part, encoder.module
    output = module(layout.ids, output_hidden_states=part.penultimate)
    last = output.last_hidden_state
    hidden = output.hidden_states[-2] if part.penultimate else last
    if not part.pooled:
        return hidden, None
    pooled = last[torch.arange(len(last), device=last.device), layout.ends]
    return hidden, module.text_projection(pooled) if part.projected else pooled


def _read_masked(encoder: TextEncoder, layout: EncoderInput) -> Read:
    mask = layout.mask if encoder.part.masked else None
    # A language model would else keep every layer's keys and values for the next word.
    plain = {"use_cache": False} if encoder.part.kind == "gemma" else {}
    return encoder.module(layout.ids, attention_mask=mask, **plain).last_hidden_state, None


READERS: dict[str, Callable[[TextEncoder, EncoderInput], Read]] = {
    "clip": _read_clip,
    "t5": _read_masked,
    "gemma": _read_masked,
}
