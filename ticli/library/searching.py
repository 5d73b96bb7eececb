"""Finding concepts by words and their beginnings, or where none fits by any part of a text."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from ticli.errors import Usage
from ticli.names import lookup_name

MOST_WORDS = 1000
WORD = re.compile(r"[^\W_]+")
# How much a word counts by where it stands: name, token, tags, notes, init and noun, photo names.
WEIGHTS = "10, 10, 5, 2, 2, 1"
JOINED = "concepts JOIN words ON words.rowid = concepts.id"
BESIDE = """concepts.id IN (
    SELECT rowid FROM words WHERE holds(name || ' ' || tags || ' ' || notes || ' ' || init
        || ' ' || replace(replace(name, '-', ''), '_', ''))
)"""


class Folding(dict[int, str]):
    """What each letter is without case and accents, worked out when it is first met."""

    def __missing__(self, letter: int) -> str:
        apart = unicodedata.normalize("NFKD", chr(letter).casefold())
        self[letter] = "".join(sign for sign in apart if not unicodedata.combining(sign))
        return self[letter]


@dataclass(frozen=True)
class Found:
    """The part of a statement that finds words: FROM, WHERE, ORDER BY and the values in them."""

    condition: str
    tables: str = "concepts"
    order: str = "concepts.name"
    values: dict[str, Any] = field(default_factory=dict)


def find(connection: sqlite3.Connection, text: str) -> Found:
    """Say how concepts are found that have every word of `text`, or a word that starts so.

    Case and accents do not matter, nor do signs beside words. Where no concept has such words, the
    same letters anywhere inside a text count too. The concept whose name is `text` comes first.
    Raises Usage for more words than can be looked for.
    """
    terms = list(dict.fromkeys(text.replace("\0", " ").split()))
    if (count := sum(len(WORD.findall(term)) for term in terms)) > MOST_WORDS:
        raise Usage(f"{count:,} words to search for", f"give at most {MOST_WORDS:,}")
    spoken = [term for term in terms if WORD.search(term)]
    if spoken:
        match = " AND ".join(f'"{term.replace(chr(34), chr(34) * 2)}"*' for term in spoken)
        held = connection.execute("SELECT 1 FROM words WHERE words MATCH ? LIMIT 1", (match,))
        if held.fetchone():
            return Found(
                "words MATCH :match",
                JOINED,
                f"concepts.name = :exact DESC, bm25(words, {WEIGHTS}), concepts.id",
                {"match": match, "exact": lookup_name(text.strip())},
            )
    folding = Folding()
    parts = [part for term in spoken or terms if (part := folded(term, folding))]
    if not parts:
        return Found("0")

    def holds(words: str) -> bool:
        text = folded(words, folding)
        return all(part in text for part in parts)

    connection.create_function("holds", 1, holds, deterministic=True)
    return Found(
        BESIDE, order="instr(concepts.name, :part) = 0, concepts.name", values={"part": parts[0]}
    )


def folded(text: str, folding: Folding) -> str:
    """Return text without case and accents, for comparing."""
    return text.lower() if text.isascii() else text.translate(folding)
