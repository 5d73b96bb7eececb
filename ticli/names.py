"""The grammar of concept names and tokens: `mug` is a name, `<mug>` its token in a prompt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ticli.errors import Usage

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
TOKEN = re.compile(r"<([A-Za-z0-9][A-Za-z0-9_-]*)>")
# diffusers calls the second vector of <mug> `<mug>_1`: a concept of that name would be swallowed.
CONTINUATION = re.compile(r"_[0-9]+$")
# File names that Windows cannot hold; exports are named after concepts.
DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in range(10)
}
# Words with a meaning of their own where a concept may be named.
RESERVED = DEVICES | {"all", "none"}
MOST_GUESSED = 10


@dataclass(frozen=True)
class Token:
    """A concept's token: `name` in lower case for lookup, `text` as the user writes it."""

    name: str
    text: str


@dataclass(frozen=True)
class Placeholder:
    """A token found in a prompt: the concept it names and the text it stood as."""

    name: str
    text: str


def parse_token(text: str) -> Token:
    """Read `<Mug>` or `Mug` as a token. Raises Usage if the grammar does not allow it."""
    if not isinstance(text, str):
        raise Usage(f"{text!r} cannot be a token", "give a name as text, such as <mug>")
    bare = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    name = bare.lower()
    # Some letters outside ASCII have an ASCII lower case: the Kelvin sign is not a k.
    if not bare.isascii() or not NAME.fullmatch(name):
        raise Usage(
            f"{text!r} cannot be a token",
            "use 1 to 64 letters, digits, - and _, starting with a letter or digit, "
            f'such as "<{slug(bare)}>"',
        )
    if CONTINUATION.search(name):
        raise Usage(
            f"{text!r} ends in _ and digits, which names the further vectors of another concept",
            f'use "<{CONTINUATION.sub("", name)}-{name.rsplit("_", 1)[1]}>"',
        )
    if name in RESERVED:
        raise Usage(f"{name!r} is a reserved word", f'use "<my-{name}>"')
    return Token(name, f"<{bare}>")


def lookup_name(text: str) -> str:
    """The name a user means by `mug`, `Mug` or `<mug>`; no grammar is enforced."""
    bare = text[1:-1] if len(text) > 2 and text.startswith("<") and text.endswith(">") else text
    return bare.lower()


def split_prompt(prompt: str) -> list[str | Placeholder]:
    """Cut a prompt into text and placeholders, in order; `<3` and `<lora:x:1>` stay text."""
    pieces: list[str | Placeholder] = []
    end = 0
    for match in TOKEN.finditer(prompt):
        if match.start() > end:
            pieces.append(prompt[end : match.start()])
        pieces.append(Placeholder(match[1].lower(), match[0]))
        end = match.end()
    if end < len(prompt):
        pieces.append(prompt[end:])
    return pieces


def placeholders(prompt: str) -> Iterator[Placeholder]:
    """The placeholders of a prompt, in order, repeats included."""
    return (piece for piece in split_prompt(prompt) if isinstance(piece, Placeholder))


def nearest(unknown: str | Sequence[str], known: Iterable[str]) -> list[str]:
    """Known names that look like the unknown ones, best first; at most three for each."""
    import difflib

    names = list(known)
    wanted = [unknown] if isinstance(unknown, str) else unknown
    # Each guess looks at every name there is.
    guesses = [difflib.get_close_matches(name.lower(), names) for name in wanted[:MOST_GUESSED]]
    return list(dict.fromkeys(name for near in guesses for name in near))


def did_you_mean(
    unknown: str | Sequence[str],
    known: Iterable[str],
    otherwise: str = "",
    shown: Callable[[str], str] = repr,
) -> str:
    """The hint for an unknown name: the nearest names, as `shown` writes them.

    `otherwise` follows in brackets, or stands alone if no name is near. Without it every known name
    is listed then.
    """
    names = list(known)
    near = nearest(unknown, names)
    if not near:
        return otherwise or f"choose {', '.join(names)}"
    guess = f"did you mean {' or '.join(map(shown, near))}?"
    return f"{guess} ({otherwise})" if otherwise else guess


def without_accents(text: str) -> str:
    """Lower case without accents: "Größe" becomes "grosse"."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in apart if not unicodedata.combining(sign))


def slug(text: str, limit: int = 64) -> str:
    """Turn any text into a safe file or concept name: `[a-z0-9-]`, never empty, never a device."""
    words = re.sub(r"[^a-z0-9]+", "-", without_accents(text)).strip("-")[:limit].strip("-")
    if not words:
        return "concept"
    return f"my-{words}" if words in RESERVED else words


def twin_name(concept: str) -> str:
    """The name of a concept's negative twin."""
    return f"{concept}-neg"


def twin_token(token: Token) -> Token:
    """The token of a concept's negative twin. Raises Usage if it is too long for a name."""
    return parse_token(twin_name(token.text[1:-1]))


def private_name(concept: str, photo: int) -> str:
    """The placeholder of one photo's own word; it is trained and never stored."""
    return f"{concept}-of-photo-{photo}"
