"""Neutral sentences for training: families for objects, styles and people, or a user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ticli.errors import BadContent, NotFound, Usage

# Bytes. A word keeps its sentences, and its file has room for a megabyte of what is said of it.
LARGEST = 128 << 10
PLACE = "{}"

# As in Gal et al. 2022 (2208.01618) a sentence says that there is a picture, never what is in it:
# what the sentence says, the word need not learn.
_OBJECT = (
    "a photo of a {}",
    "a photo of the {}",
    "a photo of my {}",
    "a photo of one {}",
    "a good photo of a {}",
    "a good photo of the {}",
    "a nice photo of a {}",
    "a nice photo of my {}",
    "a cool photo of a {}",
    "a cool photo of the {}",
    "a picture of a {}",
    "a picture of the {}",
    "a picture of my {}",
    "an image of a {}",
    "an image of the {}",
    "a rendering of a {}",
    "a rendering of the {}",
    "a rendition of a {}",
    "a rendition of the {}",
    "a depiction of a {}",
    "a depiction of the {}",
    "a close-up photo of a {}",
    "a close-up photo of the {}",
    "a cropped photo of a {}",
    "a cropped photo of the {}",
)
_STYLE = (
    "a painting in the style of {}",
    "a picture in the style of {}",
    "an image in the style of {}",
    "a drawing in the style of {}",
    "an illustration in the style of {}",
    "a rendering in the style of {}",
    "a rendition in the style of {}",
    "a depiction in the style of {}",
    "a print in the style of {}",
    "a work of art in the style of {}",
    "a good painting in the style of {}",
    "a good picture in the style of {}",
    "a nice painting in the style of {}",
    "a nice picture in the style of {}",
    "a cool picture in the style of {}",
    "a small painting in the style of {}",
    "a large painting in the style of {}",
    "a cropped painting in the style of {}",
    "a cropped picture in the style of {}",
    "a close-up picture in the style of {}",
    "the picture in the style of {}",
    "one picture in the style of {}",
)
_PERSON = (
    "a photo of {}",
    "a picture of {}",
    "an image of {}",
    "a portrait of {}",
    "a depiction of {}",
    "a rendering of {}",
    "a rendition of {}",
    "a snapshot of {}",
    "a likeness of {}",
    "the photo of {}",
    "the portrait of {}",
    "one photo of {}",
    "a good photo of {}",
    "a good picture of {}",
    "a good portrait of {}",
    "a nice photo of {}",
    "a nice picture of {}",
    "a nice portrait of {}",
    "a cool photo of {}",
    "a candid photo of {}",
    "a close-up photo of {}",
    "a close-up portrait of {}",
    "a cropped photo of {}",
    "a cropped portrait of {}",
)
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "object": _OBJECT,
    "style": _STYLE,
    "person": _PERSON,
}


def family(kind: str) -> tuple[str, ...]:
    """Return the neutral sentences for `object`, `style` or `person`, each with one `{}`."""
    if kind not in FAMILIES:
        raise Usage(f"kind cannot be {kind!r}", f"choose {', '.join(FAMILIES)}")
    return FAMILIES[kind]


def fill(sentence: str, words: str) -> str:
    """Put words where `{}` stands; every other brace is text, whoever wrote the sentence."""
    return sentence.replace(PLACE, words)


def read_sentences(path: Path) -> tuple[str, ...]:
    """Read a user's own sentences, one a line; blank lines and lines starting with # are skipped.

    Raises NotFound where there is no such file, BadContent where it is not a text, and Usage,
    naming the line, where a sentence lacks `{}` or there is none at all.
    """
    sentences = []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        sentence = " ".join(line.split())
        if not sentence or sentence.startswith("#"):
            continue
        if PLACE not in sentence:
            raise Usage(
                f"{path}, line {number}: {sentence!r} has no {PLACE}",
                f"put {PLACE} where the token goes, such as: a photo of a {PLACE}",
            )
        sentences.append(sentence)
    if not sentences:
        raise Usage(f"{path} holds no sentence", f"write one a line, such as: a photo of a {PLACE}")
    return tuple(sentences)


def _text(path: Path) -> str:
    try:
        # A pipe is welcome here: `--sentences <(shuf many.txt | head)`.
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"no such file: {path}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadContent(f"{path} cannot be read: {reason}") from error
    if len(data) > LARGEST:
        raise BadContent(
            f"{path} is larger than {LARGEST >> 10} KiB", "a file of sentences is small"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadContent(
            f"{path} is not UTF-8 text (byte {error.start})",
            "save it as UTF-8, one sentence a line",
        ) from error
