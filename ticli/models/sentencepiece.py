"""SentencePiece vocabularies: some models ship their tokens in no other form.

Our own reader: the library (0.2.3, 1.7 MB) does not give the table of replaced characters without
protobuf as well, and the 60 lines below need neither.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticli.errors import ModelUnavailable

FILE = "spiece.model"
# Field numbers of sentencepiece_model.proto.
PIECES, TRAINER, NORMALIZER = 1, 2, 3
PIECE, SCORE = 1, 2
MODEL_TYPE, UNIGRAM = 3, 1
CHARACTER_MAP = 2
VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Vocabulary:
    """Pieces with their log-probabilities, in the order of their ids; "▁" marks a word's start.

    `character_map` is the compiled table of replaced characters, or empty.
    """

    pieces: tuple[tuple[str, float], ...]
    character_map: bytes


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a unigram model's vocabulary. Raises ModelUnavailable if it is not one."""
    pieces: list[tuple[str, float]] = []
    kind, character_map = UNIGRAM, b""
    try:
        for field, value in _fields(path.read_bytes()):
            if field == PIECES and isinstance(value, bytes):
                pieces.append(_piece(value))
            elif field == TRAINER and isinstance(value, bytes):
                kind = next((v for f, v in _fields(value) if f == MODEL_TYPE), UNIGRAM)
            elif field == NORMALIZER and isinstance(value, bytes):
                found = [v for f, v in _fields(value) if f == CHARACTER_MAP]
                character_map = found[-1] if found else b""
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise ModelUnavailable(
            f"{path} cannot be read: {error}", "download the model again"
        ) from error
    if kind != UNIGRAM or not pieces:
        raise ModelUnavailable(
            f"{path} is not a unigram vocabulary", "the model needs a tokenizer.json beside it"
        )
    return Vocabulary(tuple(pieces), character_map)


def build_tokenizer(vocabulary: Vocabulary) -> Any:
    """Build T5's tokenizer: words are split at spaces, and each begins with the mark "▁".

    Raises KeyError if the vocabulary lacks T5's own pieces.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = list(vocabulary.pieces)
    ids = {piece: number for number, (piece, _) in enumerate(pieces)}
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=ids["<unk>"], byte_fallback=False))
    if vocabulary.character_map:
        tokenizer.normalizer = normalizers.Precompiled(vocabulary.character_map)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", "always", True)]
    )
    tokenizer.decoder = decoders.Metaspace("▁", "always", True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", ids["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )


def _piece(message: bytes) -> tuple[str, float]:
    text, score = "", 0.0
    for field, value in _fields(message):
        if field == PIECE:
            text = bytes(value).decode("utf-8")
        elif field == SCORE:
            (score,) = struct.unpack("<f", value)
    return text, score


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer: numbers as int, everything else as bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(message, at)
            yield field, value
            continue
        if wire == BYTES:
            length, at = _varint(message, at)
        elif wire in (FIXED_64, FIXED_32):
            length = 8 if wire == FIXED_64 else 4
        else:
            raise ValueError(f"field {field} has the unknown type {wire}")
        if at + length > len(message):
            raise ValueError("it is cut off")
        yield field, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number stored in seven bits a byte, and the position after it."""
    value = 0
    for shift in range(0, 64, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise ValueError("a number is too long")
