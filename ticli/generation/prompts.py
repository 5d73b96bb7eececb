"""Prompts looked up in the library: every token is a concept, every concept gets its noun."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ticli.concept import Concept
from ticli.errors import NotFound, Usage
from ticli.names import Placeholder, did_you_mean, nearest, placeholders, split_prompt

if TYPE_CHECKING:
    from ticli.library.library import Library


@dataclass(frozen=True)
class ResolvedPrompt:
    """A prompt and its negative prompt, as typed and as used, and the concepts in them.

    `bare` names the concepts that appear only as plain words, without angle brackets.
    """

    typed: str
    used: str
    negative_typed: str
    negative_used: str
    concepts: tuple[Concept, ...]
    bare: tuple[str, ...] = ()


def resolve(
    prompts: Sequence[str], library: Library, *, negative: str = "", nouns: bool = True
) -> list[ResolvedPrompt]:
    """Look up every token of every prompt; `nouns` puts each concept's noun after its token.

    Raises NotFound for unknown tokens, and Usage for a prompt that is empty or is not text.
    """
    _check_text(negative, "the negative prompt")
    for prompt in prompts:
        _check_text(prompt, "the prompt")
        if not prompt.strip():
            raise Usage("the prompt is empty", 'such as ti generate "<mug> on the moon"')
    tokens = {token.name: token for text in (*prompts, negative) for token in placeholders(text)}
    found = library.find_all(tokens)
    names = library.names()
    if missing := [token for name, token in tokens.items() if name not in found]:
        raise _unknown(missing, names)
    known_nouns = {name: concept.noun for name, concept in found.items()} if nouns else {}
    resolved = []
    for prompt in prompts:
        both = f"{prompt}\n{negative}"
        used = dict.fromkeys(token.name for token in placeholders(both))
        concepts = tuple(found[name] for name in used)
        resolved.append(
            ResolvedPrompt(
                typed=prompt,
                used=with_nouns(prompt, known_nouns),
                negative_typed=negative,
                negative_used=with_nouns(negative, known_nouns),
                concepts=concepts,
                bare=_bare_names(both, names, concepts),
            )
        )
    return resolved


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
            # A letter right after the token, as in "<mug>s", then ends the noun.
            words.append(f" {noun}" if isinstance(following, str) else f" {noun} ")
    return "".join(words)


def _starts_with(text: str, noun: str) -> bool:
    spaced = r"\s+".join(re.escape(word) for word in noun.split())
    return bool(re.match(rf"\s+{spaced}(?:e?s)?(?!\w)", text, re.IGNORECASE))


def _bare_names(text: str, names: Iterable[str], concepts: Sequence[Concept]) -> tuple[str, ...]:
    """Names of concepts that the text holds only as plain words, and not as another's noun."""
    plain = re.sub(r"<[^<>\s]*>", " ", text.lower())
    words = dict.fromkeys(word.strip("-_") for word in re.findall(r"[\w-]+", plain))
    meant = {concept.name for concept in concepts}
    meant.update(word.lower() for concept in concepts for word in concept.noun.split())
    known = set(names) - meant
    return tuple(word for word in words if word in known)


def _unknown(missing: Sequence[Placeholder], known: Sequence[str]) -> NotFound:
    tokens = ", ".join(placeholder.text for placeholder in missing)
    names = [placeholder.name for placeholder in missing]
    if known:
        hint = did_you_mean(names, known, "ti list shows all", "<{}>".format)
    else:
        hint = f'the library is empty: learn one with ti invert PHOTOS --token "{missing[0].text}"'
    message = f"the library has no concept for {tokens}"
    guesses = {name: nearest(name, known) for name in names}
    return NotFound(message, hint, unknown=names, nearest=guesses)


def _check_text(text: str, what: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Usage(f"{what} holds bytes that are not UTF-8 text", "type it again") from None
    if "\0" in text:
        raise Usage(f"{what} holds a NUL byte", "type it again")
