"""Captions beside the photos: PHOTO.txt becomes the sentence that a photo is trained with."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ticli.errors import BadContent
from ticli.names import Placeholder, Token, split_prompt
from ticli.photos.finding import CAPTION_SUFFIX
from ticli.photos.opening import Photo
from ticli.photos.reading import Refusal, read_head
from ticli.photos.sentences import PLACE

LARGEST = 4096


@dataclass(frozen=True)
class Captions:
    """Sentences with `{}` in the token's place, by the sha256 of their photo.

    `added` counts those that lacked the token and got it in front; `missing` names the photos
    without a caption, which are trained with the family's sentences.
    """

    by_photo: Mapping[str, str]
    added: int
    missing: tuple[str, ...]


def read_captions(photos: Sequence[Photo], token: Token, strict: bool = False) -> Captions:
    """Read PHOTO.txt beside each photo; the token, in any case, or `{}` marks its place.

    Raises BadContent, naming the file, where one cannot be read or, if strict, lacks the token.
    """
    by_photo: dict[str, str] = {}
    added = 0
    missing = []
    for photo in photos:
        caption = _caption(photo)
        if not caption:
            missing.append(photo.file)
            continue
        sentence = _sentence(caption, token)
        if PLACE not in sentence:
            if strict:
                raise BadContent(
                    f"{photo.path.with_suffix(CAPTION_SUFFIX)} does not hold {token.text}",
                    f"write {token.text} or {PLACE} into it, or leave out --strict-captions",
                )
            added += 1
            sentence = f"{PLACE}, {sentence}"
        by_photo[photo.sha256] = sentence
    return Captions(by_photo, added, tuple(missing))


def _sentence(caption: str, token: Token) -> str:
    return "".join(
        PLACE if isinstance(piece, Placeholder) and piece.name == token.name else _text(piece)
        for piece in split_prompt(caption)
    )


def _text(piece: str | Placeholder) -> str:
    return piece.text if isinstance(piece, Placeholder) else piece


def _caption(photo: Photo) -> str:
    """Return the caption as one line, of at most 4 KiB of its file; "" where there is none."""
    path = photo.path.with_suffix(CAPTION_SUFFIX)
    if not path.exists():
        return ""
    try:
        data = read_head(path, LARGEST)
        # Incremental, since the limit may fall within a letter.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(data, final=len(data) < LARGEST)
    except UnicodeDecodeError as error:
        raise BadContent(f"caption {path} is not UTF-8 text", "save it as UTF-8") from error
    except Refusal as refusal:
        raise BadContent(f"caption {path} cannot be read: {refusal.reason}") from refusal
    return " ".join(text.split())
