"""A file from elsewhere as vectors and what it says of them, checked and never run."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ticli.concept import BaseModel, Concept, Embedding
from ticli.errors import BadContent, NotFound, Usage
from ticli.library.describe import (
    ENCODERS,
    UNKNOWN_BASE,
    bare_concept,
    check_vectors,
    norms_of,
)
from ticli.library.documents import (
    base_from_document,
    concept_from_document,
    parse_document,
    plain_noun,
)
from ticli.library.formats.recognise import refuse_unreadable
from ticli.library.formats.tensor_file import (
    TensorFile,
    looks_like_tensor_file,
    parse_tensor_file,
)
from ticli.library.store import ROW
from ticli.names import Token, parse_token, slug

if TYPE_CHECKING:
    from ticli.concept import Vectors

LARGEST_FILE = 64 << 20
MOST_VECTORS = 1024
# The vocabularies of CLIP have rows of norm about 0.4; no training that helps goes this far.
LARGEST_NORM = 100.0
ENCODER_KEY = re.compile(r"[a-z][a-z0-9_]{0,31}")
# Keys that say which tensor it is, not what the word is called.
NAMELESS = {"emb_params", "emp_params", "string_to_param", "*", *ENCODERS.values(), "t5xxl"}
FAMILIES: Mapping[int, str] = {256: "sd1", 768: "sd1", 1024: "sd2"}


@dataclass(frozen=True)
class Imported:
    """What a file held. `token` is the metadata's, `key` the tensor's name where it is a word.

    `concept` is the whole row of a file of `ti`'s own. `layout` is "ti", "diffusers" or
    "emb_params"; `warnings` are for the user's eye.
    """

    embedding: Embedding
    layout: str
    token: str
    key: str
    noun: str
    base: BaseModel
    concept: Concept | None
    warnings: tuple[str, ...]


def read_source(path: Path) -> bytes:
    """Read a regular file into memory, once. Raises NotFound and BadContent."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise BadContent(f"{path} is not a file", "give the file of one learned word")
            check_size(status.st_size, str(path))
            return file.read(LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"no such file: {path}", "check the spelling") from error
    except OSError as error:
        raise BadContent(f"{path} cannot be read: {error.strerror}") from error


def check_size(size: int, origin: str) -> None:
    """Refuse more bytes than a learned word can have. Raises BadContent."""
    if size > LARGEST_FILE:
        raise BadContent(
            f"{origin} has {size / (1 << 20):,.0f} MiB; a learned word has at most "
            f"{LARGEST_FILE >> 20}",
            "this looks like a whole model; give the file of one learned word",
        )


def read_embedding(data: bytes, origin: str, widths: Collection[int] = ()) -> Imported:
    """Read a file of `ti`'s own, a diffusers file or an emb_params file from memory.

    `widths` are accepted beside those of the known encoders. Numbers become float32, one vector
    becomes a row. Raises BadContent naming `origin` for anything else, pickles included.
    """
    check_size(len(data), origin)
    if not looks_like_tensor_file(data):
        raise refuse_unreadable(data, origin)
    file = parse_tensor_file(data, origin)
    rows = {key: _two_dimensional(key, rows, origin) for key, rows in file.tensors.items()}
    if ROW in file.metadata:
        return _own(file, Embedding(rows), origin)
    if len(rows) != 1:
        raise BadContent(
            f"{origin} holds {len(rows)} tensors"
            + (f" ({', '.join(map(repr, list(rows)[:4]))})" if rows else ""),
            "diffusers and emb_params files hold exactly one",
        )
    ((key, vectors),) = rows.items()
    width = int(vectors.shape[1])
    if width not in ENCODERS and width not in widths:
        known = ", ".join(map(str, sorted({*ENCODERS, *widths})))
        raise BadContent(
            f"{origin} has vectors of {width} numbers, which no known encoder takes",
            f"known widths: {known}",
        )
    embedding = Embedding({ENCODERS.get(width, "clip_l"): vectors})
    check_vectors(embedding, origin)
    base = _base(file.metadata.get("ti.base", ""))
    nameless = key in NAMELESS
    return Imported(
        embedding=embedding,
        layout="emb_params" if nameless else "diffusers",
        token=file.metadata.get("ti.token", ""),
        key="" if nameless else key,
        noun=plain_noun(file.metadata.get("ti.noun", "")),
        base=base if base.family else replace(base, family=FAMILIES.get(width, "")),
        concept=None,
        warnings=_warnings(embedding, origin),
    )


def choose_token(imported: Imported, given: str | None, stem: str = "") -> Token:
    """The word of an import: the one given, else the metadata's, the key's, the file's stem.

    A name from the file that the grammar does not allow is put into its nearest form. Raises
    Usage where `given` is not allowed, or where there is no name at all.
    """
    if given:
        return parse_token(given)
    for name in (imported.token, imported.key, stem):
        if not any(letter.isascii() and letter.isalnum() for letter in name):
            continue
        try:
            return parse_token(name)
        except Usage:
            return parse_token(slug(name))
    raise Usage("the file does not say what its word is called", 'give --token "<name>"')


def imported_concept(imported: Imported, token: Token, base: BaseModel | None = None) -> Concept:
    """Describe an import for the library: all that the file says, `base` in place of its own."""
    if imported.concept is not None:
        concept = replace(imported.concept, name=token.name, token=token.text)
    else:
        plain = bare_concept(token, imported.embedding, imported.base)
        concept = replace(plain, noun=imported.noun)
    return replace(concept, base=base) if base is not None else concept


def _own(file: TensorFile, embedding: Embedding, origin: str) -> Imported:
    """A file written by a library: the row in its metadata comes back whole."""
    check_vectors(embedding, origin)
    try:
        if not all(ENCODER_KEY.fullmatch(key) for key in embedding.rows):
            raise ValueError("not the keys of encoders")
        concept = concept_from_document(parse_document(file.metadata[ROW]), embedding)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, Usage) as error:
        raise BadContent(
            f"{origin} is damaged: what it says of its concept cannot be read",
            "fetch or copy the file again",
        ) from error
    return Imported(
        embedding=embedding,
        layout="ti",
        token=concept.token,
        key="",
        noun=concept.noun,
        base=concept.base,
        concept=concept,
        warnings=_warnings(embedding, origin),
    )


def _two_dimensional(key: str, rows: Vectors, origin: str) -> Vectors:
    """One row a vector, as files of 2022 do not have it."""
    shape = rows.shape
    table = rows.reshape(1, -1) if rows.ndim == 1 else rows
    if table.ndim != 2 or not all(table.shape):
        raise BadContent(
            f"{origin}: tensor {key!r} has the shape {tuple(shape)}, not (vectors, width)",
            "give the file of one learned word",
        )
    if table.shape[0] > MOST_VECTORS:
        raise BadContent(
            f"{origin}: tensor {key!r} has {table.shape[0]:,} vectors; a word has at most "
            f"{MOST_VECTORS:,}",
            "this looks like a vocabulary; give the file of one learned word",
        )
    return table


def _base(text: str) -> BaseModel:
    """The base model that metadata names; one that cannot be read is unknown."""
    try:
        return base_from_document(parse_document(text)) if text else UNKNOWN_BASE
    except (ValueError, KeyError, RecursionError):
        return UNKNOWN_BASE


def _warnings(embedding: Embedding, origin: str) -> tuple[str, ...]:
    warnings = []
    for encoder, norms in norms_of(embedding).items():
        if zeros := sum(norm == 0 for norm in norms):
            warnings.append(f"{origin}: {zeros} of {len(norms)} vectors are zero")
        if encoder.startswith("clip") and max(norms) > LARGEST_NORM:
            warnings.append(
                f"{origin}: the largest vector has a norm of {max(norms):.3g}, where words have "
                "about 0.4; it may drown the rest of a prompt"
            )
    return tuple(warnings)
