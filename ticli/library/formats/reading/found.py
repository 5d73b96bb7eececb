"""The words that a layout finds in a container, not yet read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ticli.library.formats.reading.content import Tensor


@dataclass(frozen=True)
class Found:
    """One word: its tensors by key, and what the file says of it.

    `token` was stored to be the word's name; `key` is the name of its tensor where that is a word.
    `remarks` is for the concept's notes. `row` is the JSON of a whole row of a library of `ti`.
    """

    tensors: Mapping[str, Tensor]
    token: str = ""
    key: str = ""
    steps: int = 0
    remarks: str = ""
    row: str = ""


@dataclass(frozen=True)
class Reading:
    """The words of a container, the name of its layout, and what was left out."""

    layout: str
    words: tuple[Found, ...]
    notes: tuple[str, ...] = ()
