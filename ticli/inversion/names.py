"""What the words that come beside a learned word are called."""

from __future__ import annotations

from ticli.names import Token, parse_token


def twin_name(concept: str) -> str:
    """The name of a concept's negative twin."""
    return f"{concept}-neg"


def twin_token(token: Token) -> Token:
    """The token of a concept's negative twin. Raises Usage where that is too long for a name."""
    return parse_token(twin_name(token.text[1:-1]))


def private_name(concept: str, photo: int) -> str:
    """The placeholder of one photo's own word; it is trained and never stored."""
    return f"{concept}-of-photo-{photo}"
