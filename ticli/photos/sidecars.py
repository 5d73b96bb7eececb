"""Captions and masks beside the photos: PHOTO.txt, PHOTO.mask.png, or as other tools call them."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from ticli.errors import BadContent
from ticli.names import Placeholder, Token, split_prompt
from ticli.photos.cropping import training_mask
from ticli.photos.finding import caption_path, mask_paths
from ticli.photos.kinds import Refusal, read_head
from ticli.photos.opening import Photo, open_photo
from ticli.photos.sentences import PLACE

LARGEST = 4096


@dataclass(frozen=True)
class Captions:
    """Sentences with `{}` in the token's place, by the sha256 of their photo.

    `added` counts those that lacked the token and got it in front; `missing` names the photos
    without a caption, which are trained with neutral sentences.
    """

    by_photo: Mapping[str, str]
    added: int
    missing: tuple[str, ...]


def read_captions(photos: Sequence[Photo], token: Token, strict: bool = False) -> Captions:
    """Read PHOTO.txt or PHOTO.caption beside each photo.

    The token, in any case, or `{}` marks its place. Raises BadContent if one cannot be read or, if
    `strict`, lacks the token.
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
                    f"{caption_path(photo.path)} does not hold {token.text}",
                    f"write {token.text} or {PLACE} into it, or leave out --strict-captions",
                )
            added += 1
            sentence = f"{PLACE}, {sentence}"
        by_photo[photo.sha256] = sentence
    return Captions(by_photo, added, tuple(missing))


def _sentence(caption: str, token: Token) -> str:
    pieces = []
    for piece in split_prompt(caption):
        text = piece.text if isinstance(piece, Placeholder) else piece
        own = isinstance(piece, Placeholder) and piece.name == token.name
        pieces.append(PLACE if own else text)
    return "".join(pieces)


def _caption(photo: Photo) -> str:
    """The caption as one line, from at most 4 KiB of its file; "" if there is none."""
    path = caption_path(photo.path)
    if path is None:
        return ""
    try:
        data = read_head(path, LARGEST)
        # Incremental, because the limit may fall within a letter.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(data, final=len(data) < LARGEST)
    except UnicodeDecodeError as error:
        raise BadContent(f"caption {path} is not UTF-8 text", "save it as UTF-8") from error
    except Refusal as refusal:
        raise BadContent(f"caption {path} cannot be read: {refusal.reason}") from refusal
    return " ".join(text.split())


# How much rounding may change the same shape in two sizes, as a share of a side.
_SAME_SHAPE = 0.01


@dataclass(frozen=True)
class Masked:
    """Photos with their masks in place, in their order, and the files that have none."""

    photos: tuple[Photo, ...]
    missing: tuple[str, ...]


def find_masks(photos: Sequence[Photo], size: int) -> Masked:
    """Give each photo its mask: PHOTO.mask.png, or else what is not transparent in the photo.

    Raises BadContent if a mask cannot be read, has another shape than its photo, or leaves nothing
    of the square that is trained on at `size`.
    """
    masked = []
    for photo in photos:
        found = _with_mask(photo, size)
        if found.mask is not None and training_mask(found, size).getbbox() is None:
            raise BadContent(
                f"the mask of {photo.path} leaves nothing to learn: it is all black",
                "make the subject white, or leave out --masks",
            )
        masked.append(found)
    missing = tuple(photo.file for photo in masked if photo.mask is None)
    return Masked(tuple(masked), missing)


def describe_mask(photo: Photo, size: int) -> str:
    """Say which mask a photo has, such as `mask mug-2.mask.png, subject 31 %`; "" for none."""
    if photo.mask is None:
        return ""
    return f"mask {photo.mask_file or 'from transparency'}, subject {subject_share(photo, size)} %"


def subject_share(photo: Photo, size: int) -> int:
    """The percentage of the training square that a photo's mask leaves; 100 without a mask."""
    levels = training_mask(photo, size).histogram()
    whole = 255 * sum(levels)
    return round(100 * sum(level * count for level, count in enumerate(levels)) / whole)


def mask_digest(photo: Photo) -> str:
    """The sha256 of a mask's levels, as hex; "" if a photo has none."""
    return hashlib.sha256(photo.mask.tobytes()).hexdigest() if photo.mask else ""


def _with_mask(photo: Photo, size: int) -> Photo:
    path = next((path for path in mask_paths(photo.path) if path.exists()), None)
    if path is None:
        return replace(photo, mask=photo.alpha, mask_file="")
    drawn = open_photo(path, size)
    wide, high = drawn.width * photo.height, photo.width * drawn.height
    if abs(wide - high) > _SAME_SHAPE * max(wide, high):
        raise BadContent(
            f"mask {path} is {drawn.width}×{drawn.height}, and its photo stands upright at "
            f"{photo.width}×{photo.height}",
            "draw it over the photo as it is shown, in the same shape",
        )
    # A transparent ground is no subject, although it is shown as white.
    levels = drawn.alpha if drawn.alpha is not None else drawn.image.convert("L")
    fitted = levels.resize(photo.image.size, Image.Resampling.BOX, reducing_gap=3.0)
    return replace(photo, mask=fitted, mask_file=drawn.file)
