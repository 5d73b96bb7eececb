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
