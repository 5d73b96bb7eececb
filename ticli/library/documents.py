"""A concept written down in a file that may come from a stranger, checked field by field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from ticli.concept import BaseModel, Concept, Embedding, Losses, Parent, PhotoRecord
from ticli.library.describe import norms_of
from ticli.names import parse_token
from ticli.outcome import Attempt, Curves, Outcome, WordLoss

TEXTS = ("noun", "kind", "init", "notes", "device", "created")
BASE = ("family", "id", "revision", "fingerprint")
LONGEST_NOUN = 64
HASH = re.compile(r"([0-9a-f]{64})?")


def parse_document(text: str) -> dict[str, Any]:
    """Read a JSON object that holds finite numbers only. Raises ValueError."""
    document = json.loads(text, parse_constant=_refuse_constant)
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document


def concept_from_document(document: Mapping[str, Any], embedding: Embedding) -> Concept:
    """Rebuild a concept from its written row; what the vectors say comes from them.

    Raises ValueError, KeyError, TypeError or ticli.errors.Usage where a field is not what it
    should be.
    """
    token = parse_token(_text(document["token"]))
    seed = document["seed"]
    texts = {name: _text(document[name]) for name in TEXTS}
    return Concept(
        **texts | {"noun": plain_noun(texts["noun"])},
        name=token.name,
        token=token.text,
        vectors=embedding.vectors,
        widths=embedding.widths,
        norms=norms_of(embedding),
        base=base_from_document(document["base"]),
        recipe=dict(_mapping(document["recipe"])),
        seed=None if seed is None else _whole(seed),
        steps=_whole(document["steps"]),
        losses=Losses(**{k: _number(v) for k, v in _mapping(document["losses"]).items()}),
        photos=tuple(
            PhotoRecord(_file_name(photo["file"]), _hash(photo["sha256"]))
            for photo in _items(document["photos"])
        ),
        parents=tuple(
            Parent(_text(parent["name"]), _number(parent["weight"]), _hash(parent["sha256"]))
            for parent in _items(document["parents"])
        ),
        tags=tuple(_text(tag) for tag in _items(document["tags"])),
        versions={k: _text(v) for k, v in _mapping(document["versions"]).items()},
        seconds=_number(document["seconds"]) or 0.0,
        # Files of version 0.1 say nothing of these.
        outcome=_outcome(_mapping(document.get("outcome", {}))),
        curves=_curves(_mapping(document.get("curves", {}))),
        warnings=tuple(_text(text) for text in _items(document.get("warnings", []))),
        # What a file says of its own quality is no measurement of this library's.
        scores=(),
        used="",
        path="",
        bytes=0,
        sha256="",
    )


def base_from_document(document: Any) -> BaseModel:
    """Read family, id, revision and fingerprint. Raises ValueError or KeyError."""
    return BaseModel(*(_text(_mapping(document)[part]) for part in BASE))


def plain_noun(text: str) -> str:
    """A noun that may stand in a prompt; anything else is none."""
    word = " ".join(text.split())
    allowed = word.isprintable() and len(word) <= LONGEST_NOUN and not set(word) & set("<>{}")
    return word if allowed else ""


def _outcome(document: Mapping[str, Any]) -> Outcome:
    if not document:
        return Outcome()
    return Outcome(
        stopped=_text(document["stopped"]),
        kept=_optional_whole(document["kept"]),
        held_out=_number(document["held_out"]),
        held_out_init=_number(document["held_out_init"]),
        drift=_number(document["drift"]),
        held_out_photo=_optional_whole(document["held_out_photo"]),
        skipped=_whole(document["skipped"]),
        restores=_whole(document["restores"]),
        attempts=tuple(
            Attempt(
                seed=_whole(attempt["seed"]),
                steps=_whole(attempt["steps"]),
                stopped=_text(attempt["stopped"]),
                kept=_optional_whole(attempt["kept"]),
                held_out=_number(attempt["held_out"]),
            )
            for attempt in _items(document["attempts"])
        ),
        init_words=tuple(
            WordLoss(_text(word["word"]), _known_number(word["held_out"]))
            for word in _items(document["init_words"])
        ),
        memory=tuple(_text(line) for line in _items(document.get("memory", []))),
    )


def _curves(document: Mapping[str, Any]) -> Curves:
    if not document:
        return Curves()
    return Curves(
        steps=tuple(_whole(step) for step in _items(document["steps"])),
        held_out=tuple(_known_number(loss) for loss in _items(document["held_out"])),
        drift=tuple(_known_number(drift) for drift in _items(document["drift"])),
    )


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not text")
    # Half a surrogate pair is legal JSON, and no file or database can hold it.
    value.encode()
    return value


def _hash(value: Any) -> str:
    """A hash becomes part of a path, so it is one, or nothing."""
    text = _text(value)
    if not HASH.fullmatch(text):
        raise ValueError("not a SHA-256")
    return text


def _file_name(value: Any) -> str:
    return _text(value).replace("\\", "/").rsplit("/", 1)[-1]


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a mapping")
    return value


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("not a whole number")
    return value


def _optional_whole(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _known_number(value: Any) -> float:
    number = _number(value)
    if number is None:
        raise ValueError("not a number")
    return number


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)
