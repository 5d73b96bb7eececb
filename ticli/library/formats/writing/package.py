"""A concept made ready to leave: its vectors, what is said of it, and nothing of this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ticli.concept import BaseModel, Concept, Embedding, PhotoRecord
from ticli.library.store import OUTSIDE

if TYPE_CHECKING:
    from PIL.Image import Image

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
# How the name of a folder or file somewhere on this machine begins.
_BEGINS = r"(?:~\w*/|\.{0,2}/\w|\.{1,2}\\|\\\\|[A-Za-z]:[/\\]|file:)"
LOCAL_PATH = re.compile(_BEGINS)
PATH_IN_TEXT = re.compile(rf"(?<!\S){_BEGINS}\S*")


@dataclass(frozen=True, eq=False)
class Extras:
    """What goes into a file only where the user asks for it. `picture` is RGB."""

    author: str = ""
    license: str = ""
    notes: bool = False
    picture: Image | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Package:
    """One concept on its way out.

    `word` is what stands for it in a prompt of the program it goes to, `program` that program's
    title; both are "" where a layout is written for no program in particular.
    """

    concept: Concept
    embedding: Embedding
    extras: Extras = Extras()
    word: str = ""
    program: str = ""

    @property
    def token(self) -> str:
        """The token in lower case: diffusers loses all vectors but one of any other."""
        return f"<{self.concept.name}>"

    @property
    def encoders(self) -> frozenset[str]:
        """The encoders it has vectors for."""
        return frozenset(self.embedding.rows)


def pack(
    concept: Concept,
    embedding: Embedding,
    extras: Extras = Extras(),  # frozen
    word: str = "",
    program: str = "",
) -> Package:
    """Take from a concept what concerns its owner alone: notes, names of photos, local paths.

    Photos keep the hash of their bytes, by which their owner can show that they are the ones.
    """
    photos = tuple(
        PhotoRecord(f"photo-{number}", photo.sha256)
        for number, photo in enumerate(concept.photos, 1)
    )
    public = replace(
        concept,
        base=public_base(concept.base),
        recipe=_without_paths(concept.recipe),
        versions=_without_paths(concept.versions),
        device=_without_paths(concept.device),
        photos=photos,
        notes=concept.notes if extras.notes else "",
        warnings=tuple(_without_paths(concept.warnings)),
        # How it was judged names files of pictures, and a reader has to judge for itself.
        scores=(),
    )
    return Package(public, embedding, extras, word, program)


def public_base(base: BaseModel) -> BaseModel:
    """The base model; one that lies in a folder or file is called by its last part."""
    if HUB_ID.fullmatch(base.id):
        return base
    return replace(base, id=_last_part(base.id))


def row_of(concept: Concept) -> dict[str, Any]:
    """The row of a concept, without what the library knows of its file."""
    return {key: value for key, value in concept.as_json().items() if key not in OUTSIDE}


def _without_paths(value: Any) -> Any:
    """The same value; a local path in it becomes its last part."""
    if isinstance(value, str):
        if LOCAL_PATH.match(value):
            return _last_part(value)
        return PATH_IN_TEXT.sub(lambda found: _last_part(found[0]), value)
    if isinstance(value, Mapping):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_paths(item) for item in value]
    return value


def _last_part(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
