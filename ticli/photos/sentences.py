"""Sentences for training: neutral ones by kind, contexts, nouns, or a user's own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ticli.errors import BadContent, NotFound, Usage
from ticli.names import did_you_mean
from ticli.plain_text import read_mapping

# Bytes. A concept keeps its sentences, and its file has room for a megabyte of metadata.
LARGEST = 128 << 10
PLACE = "{}"


@cache
def _texts() -> dict[str, Any]:
    """The sentences and nouns of sentences.yaml."""
    return read_mapping(Path(__file__).with_name("sentences.yaml"))


def family(kind: str) -> tuple[str, ...]:
    """The neutral sentences for `object`, `style` or `person`, each with one `{}`. Raises Usage."""
    families = _texts()["neutral"]
    if kind not in families:
        raise Usage(f"kind cannot be {kind!r}", did_you_mean(kind, families))
    return tuple(families[kind])


def fill(sentence: str, words: str) -> str:
    """Put words in place of `{}`; every other brace is text."""
    return sentence.replace(PLACE, words)


def read_sentences(path: Path) -> tuple[str, ...]:
    """Read a user's own sentences, one a line; blank lines and lines that start with # are skipped.

    Raises NotFound (no such file), BadContent (not a text), and Usage if a sentence lacks `{}` or
    there is none.
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
        said = f"{path} is not UTF-8 text (byte {error.start})"
        raise BadContent(said, "save it as UTF-8, one sentence a line") from error


def contexts(kind: str, chosen: str, class_word: str) -> tuple[str, ...]:
    """The sentences of a set, each with `{}`; "auto" goes by the recipe's kind and class word."""
    if chosen == "auto":
        words = class_word.lower().split()
        being = kind == "person" or (bool(words) and words[-1] in _texts()["beings"].split())
        chosen = "styles" if kind == "style" else "living" if being else "things"
    return tuple(_texts()["contexts"][chosen])


def nouns(kind: str) -> tuple[str, ...]:
    """The words for photos of a kind ("object", "style" or "person"), each once, likelier first."""
    return tuple(dict.fromkeys(_texts()["nouns"][kind].split()))
