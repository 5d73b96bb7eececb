"""Prompts resolved against the library: every token a concept, every concept its noun."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ticli.concept import Concept
from ticli.errors import BadContent, NotFound, Usage
from ticli.library.record import longest_vector
from ticli.names import Placeholder, nearest, placeholders, split_prompt

if TYPE_CHECKING:
    from ticli.library.library import Library


@dataclass(frozen=True)
class Wording:
    """A prompt and a negative prompt, as typed; `nouns` puts each concept's noun beside it."""

    prompt: str
    negative: str = ""
    nouns: bool = True


@dataclass(frozen=True)
class ResolvedPrompt:
    """What is drawn: both prompts as typed and as used, and the concepts that stand in them."""

    typed: str
    used: str
    negative_typed: str
    negative_used: str
    concepts: tuple[Concept, ...]


def resolve(wordings: Sequence[Wording], library: Library) -> list[ResolvedPrompt]:
    """Look up every token of every prompt and put the nouns beside them.

    Raises NotFound naming all unknown tokens with the nearest names, and Usage for a prompt that
    is empty or holds bytes that are not text.
    """
    for wording in wordings:
        _check_text(wording.prompt, "the prompt")
        _check_text(wording.negative, "the negative prompt")
        if not wording.prompt.strip():
            raise Usage("the prompt is empty", 'such as ti generate "<mug> on the moon"')
    texts = [text for wording in wordings for text in (wording.prompt, wording.negative)]
    known = _concepts(texts, library)
    return [_resolved(wording, known) for wording in wordings]


def check_norms(concepts: Iterable[Concept]) -> None:
    """Refuse words whose vectors would drown every other word. Raises BadContent."""
    for concept in concepts:
        if (norm := longest_vector(concept.norms)) is not None:
            raise BadContent(
                f"{concept.token} has a vector of norm {norm:.3g}, where words have about 0.4: "
                "pictures of it would show nothing else, or nothing",
                "learn it again, or give --any-norm to use it all the same",
            )


def with_nouns(prompt: str, nouns: Mapping[str, str]) -> str:
    """Put each concept's noun after its token, unless it follows already, plural or not.

    `nouns` maps names to nouns, "" for none: "two <mug>s" becomes "two <mug> mugs".
    """
    pieces = split_prompt(prompt)
    words: list[str] = []
    for number, piece in enumerate(pieces):
        if not isinstance(piece, Placeholder):
            words.append(piece)
            continue
        words.append(piece.text)
        noun = nouns.get(piece.name, "")
        following = pieces[number + 1] if number + 1 < len(pieces) else ""
        if noun and not (isinstance(following, str) and _starts_with(following, noun)):
            # A letter right after the token ("<mug>s") then ends the noun, as the user meant it.
            words.append(f" {noun}" if isinstance(following, str) else f" {noun} ")
    return "".join(words)


def _starts_with(text: str, noun: str) -> bool:
    spaced = r"\s+".join(re.escape(word) for word in noun.split())
    return bool(re.match(rf"\s+{spaced}(?:e?s)?(?!\w)", text, re.IGNORECASE))


def _resolved(wording: Wording, known: Mapping[str, Concept]) -> ResolvedPrompt:
    nouns = {name: concept.noun for name, concept in known.items()} if wording.nouns else {}
    names = dict.fromkeys(
        placeholder.name
        for text in (wording.prompt, wording.negative)
        for placeholder in placeholders(text)
    )
    return ResolvedPrompt(
        typed=wording.prompt,
        used=with_nouns(wording.prompt, nouns),
        negative_typed=wording.negative,
        negative_used=with_nouns(wording.negative, nouns),
        concepts=tuple(known[name] for name in names),
    )


def _concepts(texts: Iterable[str], library: Library) -> dict[str, Concept]:
    standing = {
        placeholder.name: placeholder for text in texts for placeholder in placeholders(text)
    }
    found = {name: library.find(name) for name in standing}
    unknown = [name for name, concept in found.items() if concept is None]
    if unknown:
        raise _unknown([standing[name] for name in unknown], library.names())
    return {name: concept for name, concept in found.items() if concept is not None}


def _unknown(missing: Sequence[Placeholder], known: Sequence[str]) -> NotFound:
    tokens = ", ".join(placeholder.text for placeholder in missing)
    message = f"no concept stands behind {tokens}"
    guesses = {placeholder.name: nearest(placeholder.name, known) for placeholder in missing}
    likely = [
        f"{placeholder.text}: {' or '.join(f'<{name}>' for name in guesses[placeholder.name])}"
        for placeholder in missing
        if guesses[placeholder.name]
    ]
    if likely:
        hint = f"did you mean {'; '.join(likely)}? (ti list shows all)"
    elif known:
        hint = "ti list shows all concepts"
    else:
        hint = f'the library is empty: learn one with ti invert PHOTOS --token "{missing[0].text}"'
    return NotFound(
        message, hint, unknown=[placeholder.name for placeholder in missing], nearest=guesses
    )


def _check_text(text: str, what: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Usage(f"{what} holds bytes that are not UTF-8 text", "type it again") from None
    if "\0" in text:
        raise Usage(f"{what} holds a NUL byte", "type it again")
