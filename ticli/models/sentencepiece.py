"""SentencePiece vocabularies: some models ship their tokens in no other form.

Our own reader: tokenizers (0.23) and transformers (5.23) read these files only with protobuf.
"""

from __future__ import annotations

import struct
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


def has_sentencepiece_only(folder: Path) -> bool:
    """Whether a tokenizer's folder has its tokens in this form only."""
    return (folder / FILE).is_file() and not (folder / "tokenizer.json").is_file()


def read_vocabulary(path: Path) -> tuple[list[tuple[str, float]], bytes]:
    """Read a unigram model's vocabulary. Raises ModelUnavailable if it is not one.

    Gives the pieces with their log-probabilities, in the order of their ids; "▁" marks a word's
    start. Then the compiled table of replaced characters, or nothing.
    """
    pieces: list[tuple[str, float]] = []
    try:
        model = _fields(path.read_bytes())
        for message in model.get(PIECES, ()):
            piece = _fields(message)
            (score,) = struct.unpack("<f", _last(piece, SCORE, bytes(4)))
            pieces.append((_last(piece, PIECE, b"").decode("utf-8"), score))
        kind = _last(_fields(_last(model, TRAINER, b"")), MODEL_TYPE, UNIGRAM)
        characters = _last(_fields(_last(model, NORMALIZER, b"")), CHARACTER_MAP, b"")
    except (OSError, ValueError, IndexError, TypeError, AttributeError, struct.error) as error:
        raise ModelUnavailable(
            f"{path} cannot be read: {error}", "download the model again"
        ) from error
    if kind != UNIGRAM or not pieces:
        raise ModelUnavailable(
            f"{path} is not a unigram vocabulary", "the model needs a tokenizer.json beside it"
        )
    return pieces, characters


def build_tokenizer(path: Path) -> Any:
    """Build T5's tokenizer: words are split at spaces, and each begins with the mark "▁"."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces, characters = read_vocabulary(path)
    ids = {piece: number for number, (piece, _) in enumerate(pieces)}
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=ids["<unk>"], byte_fallback=False))
    if characters:
        tokenizer.normalizer = normalizers.Precompiled(characters)
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


def _fields(message: bytes) -> dict[int, list[Any]]:
    """The fields of a protocol buffer by number: numbers as int, everything else as bytes."""
    fields: dict[int, list[Any]] = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        values = fields.setdefault(number, [])
        if wire == VARINT:
            value, at = _varint(message, at)
            values.append(value)
            continue
        if wire == BYTES:
            length, at = _varint(message, at)
        elif wire in (FIXED_64, FIXED_32):
            length = 8 if wire == FIXED_64 else 4
        else:
            raise ValueError(f"field {number} has the unknown type {wire}")
        if at + length > len(message):
            raise ValueError("it is cut off")
        values.append(message[at : at + length])
        at += length
    return fields


def _last(fields: dict[int, list[Any]], number: int, default: Any) -> Any:
    return fields.get(number, [default])[-1]


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
