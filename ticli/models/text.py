"""Prompts to token ids: a placeholder takes the slots of its vectors, text goes as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ticli.names import Placeholder, split_prompt


@dataclass(frozen=True)
class Slot:
    """A position in the encoder's window that one vector of a concept fills."""

    position: int
    concept: str
    vector: int


@dataclass(frozen=True)
class Tokenised:
    """One prompt for one encoder: `ids` fill the window, start, end and padding included.

    `cut` is the text that fell outside; `lost` names the concepts with a vector outside.
    """

    ids: tuple[int, ...]
    slots: tuple[Slot, ...]
    end: int
    cut: str
    lost: tuple[str, ...]


def tokenise(tokenizer: Any, window: int, prompt: str, vectors: Mapping[str, int]) -> Tokenised:
    """Tokenise a prompt for one encoder; names in `vectors` are placeholders, others are text.

    A slot holds an ordinary id below the end token, which the encoder's hook overwrites: an id
    above it would move the pooled output of encoders that pool at the largest id.
    """
    filler = tokenizer("a", add_special_tokens=False).input_ids[0]
    body: list[int | tuple[str, int]] = []
    for piece in _merged(prompt, vectors):
        if isinstance(piece, Placeholder):
            body += [(piece.name, number) for number in range(vectors[piece.name])]
        else:
            body += tokenizer(piece, add_special_tokens=False).input_ids
    room = window - 2
    kept, rest = body[:room], body[room:]
    slots = tuple(
        Slot(position, *item) for position, item in enumerate(kept, 1) if isinstance(item, tuple)
    )
    ids = [tokenizer.bos_token_id, *(filler if isinstance(i, tuple) else i for i in kept)]
    end = len(ids)
    ids.append(tokenizer.eos_token_id)
    ids += [tokenizer.pad_token_id] * (window - len(ids))
    lost = tuple(dict.fromkeys(item[0] for item in rest if isinstance(item, tuple)))
    cut = tokenizer.decode([item for item in rest if isinstance(item, int)])
    return Tokenised(tuple(ids), slots, end, cut.strip(), lost)


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
