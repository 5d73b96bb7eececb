"""A text encoder that reads learned vectors in place of a prompt's placeholders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ticli.families.family import CLIP_L, KINDS, EncoderPart, Encoding
from ticli.names import Placeholder, split_prompt


@dataclass(frozen=True)
class Slot:
    """The position in the encoder's window of one of a placeholder's vectors."""

    position: int
    concept: str
    vector: int


@dataclass(frozen=True)
class Tokenised:
    """One prompt for one encoder: `ids` fill the window, start, end and padding included.

    `end` is the position of the end token, or of the last token if the encoder has none. `cut` is
    the text that did not fit; `lost` names the concepts with a vector that did not fit.
    `instruction` follows the first token when the encoder reads, and takes no position here.
    """

    ids: tuple[int, ...]
    slots: tuple[Slot, ...]
    end: int
    cut: str
    lost: tuple[str, ...]
    instruction: tuple[int, ...] = ()


def tokenise(
    tokenizer: Any,
    window: int,
    prompt: str,
    vectors: Mapping[str, int],
    part: EncoderPart = CLIP_L,
    *,
    negative: bool = False,
) -> Tokenised:
    """Tokenise a prompt for one encoder; names in `vectors` are placeholders, the rest is text.

    A slot holds an ordinary id, whose vector is replaced later. An id above the end token's would
    move the pooled output of encoders that pool at the largest id. A `negative` prompt has no
    instruction before it.
    """
    kind = KINDS[part.kind]
    instruction = part.instruction() if part.instruction and not negative else ""
    filler = tokenizer("a", add_special_tokens=False).input_ids[0]
    pieces = _merged(prompt.lower().strip() if part.lower else prompt, vectors)
    hidden = 0
    if instruction:
        # Its last token is passed on: the prompt's first word may be joined to it.
        hidden = len(tokenizer(instruction, add_special_tokens=False).input_ids) - 1
        first = pieces.pop(0) if pieces and isinstance(pieces[0], str) else ""
        pieces.insert(0, f"{instruction}{first}")
    body: list[int | tuple[str, int]] = []
    for piece in pieces:
        if isinstance(piece, Placeholder):
            body += [(piece.name, number) for number in range(vectors[piece.name])]
        else:
            # `verbose` warns of texts that are too long, which is said in our own words.
            body += tokenizer(piece, add_special_tokens=False, verbose=False).input_ids
    room = hidden + window - kind.start - kind.end
    kept, rest = body[hidden:room], body[room:]
    slots = tuple(
        Slot(position, *item)
        for position, item in enumerate(kept, int(kind.start))
        if isinstance(item, tuple)
    )
    ids = [tokenizer.bos_token_id] if kind.start else []
    ids += [filler if isinstance(item, tuple) else item for item in kept]
    if kind.end:
        ids.append(tokenizer.eos_token_id)
    end = max(0, len(ids) - 1)
    ids += [tokenizer.pad_token_id] * (window - len(ids))
    lost = tuple(dict.fromkeys(item[0] for item in rest if isinstance(item, tuple)))
    cut = _unread(tokenizer, kept, rest, part.kind == "clip")
    unseen = tuple(item for item in body[:hidden] if isinstance(item, int))
    return Tokenised(tuple(ids), slots, end, cut, lost, unseen)


def _unread(tokenizer: Any, kept: Sequence[object], rest: Sequence[object], clip: bool) -> str:
    """The text of tokens that are not read, from the start of the word that the window cuts."""
    ids = [item for item in rest if isinstance(item, int)]
    before = list(kept)
    while ids and before and isinstance(piece := before[-1], int):
        last, first = tokenizer.convert_ids_to_tokens([piece, ids[0]])
        # CLIP's pieces say where a word ends, the others' where one begins.
        if last.endswith("</w>") if clip else first.startswith("▁"):
            break
        ids.insert(0, piece)
        before.pop()
    return str(tokenizer.decode(ids)).strip()


def _merged(prompt: str, vectors: Mapping[str, int]) -> list[str | Placeholder]:
    """Split a prompt at known placeholders; everything else stays text."""
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


Rows = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class EncoderInput:
    """A batch of prompts as whole numbers: `ids` and `mask` are (batch, length).

    `ends` (batch,) are the positions of end tokens. The vector of slot i goes to `rows[i]`,
    `places[i]`. `shown` (batch, window) are the positions passed on, without an instruction.
    """

    ids: Tensor
    mask: Tensor
    ends: Tensor
    rows: Tensor
    places: Tensor
    shown: Tensor | None


@dataclass(frozen=True)
class TextEncoder:
    """One frozen text encoder with its tokenizer; `key` is its name in an Embedding."""

    key: str
    module: Any
    tokenizer: Any
    window: int
    part: EncoderPart

    @property
    def table(self) -> Tensor:
        """The vocabulary's vectors, (words, width), in the encoder's precision."""
        weight: Tensor = self._embedding.weight
        return weight

    @property
    def sees_padding(self) -> bool:
        """Whether padding changes the encoding of a prompt: not if tokens only look back."""
        return self.part.kind == "t5" and not self.part.masked

    @property
    def _embedding(self) -> Any:
        """The module that looks vectors up; T5's encoder has its own over shared rows."""
        inner = self.module.encoder if self.part.kind == "t5" else self.module
        return inner.get_input_embeddings()

    def encode(self, batch: Sequence[Tokenised], rows: Rows) -> Encoding:
        """Encode a batch with the vectors of `rows` in its slots. Only these get gradients."""
        return self.read(self.lay_out(batch), self.gather(batch, rows))

    def lay_out(self, batch: Sequence[Tokenised]) -> EncoderInput:
        """A batch as the encoder's input, on its device."""
        longest = max(len(prompt.ids) + len(prompt.instruction) for prompt in batch)
        ids, masks, shown, rows, places = [], [], [], [], []
        for row, prompt in enumerate(batch):
            # An instruction follows the first token.
            more = len(prompt.instruction)
            window = [0, *range(1 + more, len(prompt.ids) + more)]
            read = [*prompt.ids[:1], *prompt.instruction, *prompt.ids[1:]]
            ids.append(read + [self.tokenizer.pad_token_id] * (longest - len(read)))
            used = prompt.end + 1 + more
            masks.append([1] * used + [0] * (longest - used))
            shown.append(window)
            rows += [row] * len(prompt.slots)
            places += [window[slot.position] for slot in prompt.slots]

        def whole(numbers: Sequence[Any]) -> Tensor:
            return torch.tensor(numbers, device=self.table.device, dtype=torch.long)

        return EncoderInput(
            ids=whole(ids),
            mask=whole(masks),
            ends=whole([prompt.end for prompt in batch]),
            rows=whole(rows),
            places=whole(places),
            shown=whole(shown) if any(prompt.instruction for prompt in batch) else None,
        )

    def gather(self, batch: Sequence[Tokenised], rows: Rows) -> Tensor | None:
        """The vectors of a batch's slots in order, (slots, width); None without slots."""
        slots = [slot for prompt in batch for slot in prompt.slots]
        if not slots:
            return None
        return torch.stack([rows[slot.concept][self.key][slot.vector] for slot in slots])

    def read(self, layout: EncoderInput, vectors: Tensor | None) -> Encoding:
        """Encode an input with the vectors in its slots."""
        pooled = None
        with self._placed(layout, vectors):
            if self.part.kind == "clip":
                hidden, pooled = self._read_clip(layout)
            else:
                # Without this a language model keeps every layer's keys and values.
                plain = {"use_cache": False} if self.part.kind == "gemma" else {}
                mask = layout.mask if self.part.masked else None
                hidden = self.module(layout.ids, attention_mask=mask, **plain).last_hidden_state
        mask, shown = layout.mask, layout.shown
        if shown is not None:
            hidden = hidden.gather(1, shown[..., None].expand(-1, -1, hidden.shape[-1]))
            mask = mask.gather(1, shown)
        return Encoding(hidden, pooled, mask)

    def _read_clip(self, layout: EncoderInput) -> tuple[Tensor, Tensor | None]:
        output = self.module(layout.ids, output_hidden_states=self.part.penultimate)
        last = output.last_hidden_state
        hidden = output.hidden_states[-2] if self.part.penultimate else last
        if not self.part.pooled:
            return hidden, None
        # The pooled text is at the end token, not at the largest id as some configurations say.
        pooled = last[torch.arange(len(last), device=last.device), layout.ends]
        return hidden, self.module.text_projection(pooled) if self.part.projected else pooled

    @contextmanager
    def _placed(self, layout: EncoderInput, vectors: Tensor | None) -> Iterator[None]:
        """Put vectors, scaled as the table scales its rows, into the token table's output."""
        if vectors is None:
            yield
            return
        embedding = self._embedding
        scale = getattr(embedding, "embed_scale", None)

        def put(_module: Any, _args: Any, output: Tensor) -> Tensor:
            placed = vectors.to(output.device, output.dtype)
            if scale is not None:
                placed = placed * scale.to(output.device, output.dtype)
            return output.index_put((layout.rows, layout.places), placed)

        handle = embedding.register_forward_hook(put)
        try:
            yield
        finally:
            handle.remove()
