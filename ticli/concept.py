"""A concept: the one list of its fields, and how each is read from a row or a stranger's file.

A new field is one line in `Concept` and one migration in library/database.py. Row, JSON, `ti show`
and the metadata of files follow from that line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

Reader = Callable[[Any], Any]


@dataclass(frozen=True)
class Fact:
    """What holds for a field of a concept, beside its name, type and default.

    `source` is where the value comes from: the concept's "file", which has most of the row too;
    the "vectors" in that file, with the token; the "row" alone; or the "place" of the file.
    `shared` is what exported files say: the value "as it is", with "no paths", by a "public name",
    with "no names"; or nothing unless on "request"; or "never" anything. `varies` is "run" where
    two runs of the same thing differ, "later" where it may change after the file was written. A
    field is `optional` where older files lack it. `check` reads a stranger's value where the type
    says too little.
    """

    source: Literal["file", "vectors", "row", "place"] = "file"
    shared: Literal["as it is", "no paths", "public name", "no names", "request", "never"] = (
        "as it is"
    )
    varies: Literal["", "run", "later"] = ""
    optional: bool = False
    check: Reader | None = None


def fact(default: Any, **facts: Any) -> Any:
    """A field with a default, or with what `default` makes if it is a type, and its Fact."""
    metadata = {"fact": Fact(**facts)}
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


# These check the values of a file that may come from a stranger. All raise ValueError.


def checked_text(value: Any) -> str:
    """Text that a file and a database can hold."""
    if not isinstance(value, str):
        raise ValueError("not text")
    # Half a surrogate pair is legal JSON, and no file or database can hold it.
    value.encode()
    return value


HASH = re.compile(r"([0-9a-f]{64})?")
LONGEST_NOUN = 64


def _hash(value: Any) -> str:
    """A SHA-256 or nothing: it becomes part of a path."""
    if not HASH.fullmatch(checked_text(value)):
        raise ValueError("not a SHA-256")
    return str(value)


def _file_name(value: Any) -> str:
    return checked_text(value).replace("\\", "/").rsplit("/", 1)[-1]


def plain_noun(value: Any) -> str:
    """A noun that may stand in a prompt; anything else becomes ""."""
    noun = " ".join(checked_text(value).split())
    allowed = noun.isprintable() and len(noun) <= LONGEST_NOUN and not set(noun) & set("<>{}")
    return noun if allowed else ""


def _whole(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("not a whole number")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def _seconds(value: Any) -> float:
    return 0.0 if value is None else _number(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a mapping")
    return value


SCALARS: Mapping[Any, Reader] = {str: checked_text, int: _whole, float: _number}


def reader(kind: Any, trusted: bool = False) -> Reader:
    """Return the function that turns a JSON value into this type.

    In a `trusted` row texts, numbers and mappings are taken as they are; from a file each is
    checked. The function raises ValueError, KeyError, TypeError or AttributeError.
    """
    if is_dataclass(kind):
        return _part_reader(kind, trusted)
    if get_origin(kind) is tuple:
        item = reader(get_args(kind)[0], trusted)
        return lambda value: tuple(map(item, value if trusted else _list(value)))
    if trusted or kind is Any:
        return lambda value: value
    if get_origin(kind) is UnionType:
        known = reader(get_args(kind)[0])
        return lambda value: None if value is None else known(value)
    if get_origin(kind) is Mapping:
        item = reader(get_args(kind)[1])
        return lambda value: {key: item(one) for key, one in _mapping(value).items()}
    return SCALARS[kind]


def _part_reader(kind: Any, trusted: bool) -> Reader:
    """Read a mapping as one of the dataclasses below; {} stands for one of which nothing is known.

    Keys that are not fields spoil a row; in a file they come from a newer `ti` and are left out.
    """
    types = get_type_hints(kind)
    facts = {part.name: part.metadata.get("fact", Fact()) for part in fields(kind)}
    readers = {
        key: (None if trusted else facts[key].check) or reader(types[key], trusted) for key in facts
    }
    can_be_empty = all(part.default is not MISSING for part in fields(kind))

    def read(value: Any) -> Any:
        document = _mapping(value)
        if not document and can_be_empty:
            return kind()
        wanted = (
            document if trusted else [k for k in facts if k in document or not facts[k].optional]
        )
        return kind(**{key: readers[key](document[key]) for key in wanted})

    return read


@dataclass(frozen=True)
class Curves:
    """What every evaluation found, each list as long as `steps`.

    `held_out` are mean denoising losses on what the concept is not trained on, `drift` is 1 minus
    the mean cosine between context tokens beside the concept and beside its class word.
    """

    steps: tuple[int, ...] = ()
    held_out: tuple[float, ...] = ()
    drift: tuple[float, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """One of the runs of a `restarts`; `held_out` is None where it diverged."""

    seed: int
    steps: int
    stopped: str
    kept: int | None
    held_out: float | None


@dataclass(frozen=True)
class WordLoss:
    """A word of the vocabulary and the held-out loss of its photos' sentences."""

    word: str
    held_out: float


@dataclass(frozen=True)
class Outcome:
    """How the run of a concept ended; empty for one that was not learned here.

    `stopped` is "settled" or "steps". `kept` is the step whose vectors were kept, `held_out` their
    loss and `held_out_init` that of the class word in the same sentences. `held_out_photo` is the
    index of the photo that was not trained on, None if other crops were held out. `init_words` are
    the best words of `--init auto`. `memory` says what was given up for lack of memory, and which
    steps could not be recorded or compiled.
    """

    stopped: str = ""
    kept: int | None = None
    held_out: float | None = None
    held_out_init: float | None = None
    drift: float | None = None
    held_out_photo: int | None = None
    skipped: int = 0
    restores: int = 0
    attempts: tuple[Attempt, ...] = ()
    init_words: tuple[WordLoss, ...] = ()
    memory: tuple[str, ...] = fact((), optional=True)


@dataclass(frozen=True)
class BaseModel:
    """The model a concept was learned on. Unknown parts of an imported concept are ""."""

    family: str
    id: str
    revision: str
    fingerprint: str


UNKNOWN_BASE = BaseModel("", "", "", "")


@dataclass(frozen=True)
class PhotoRecord:
    """One training photo: its file name without folder, and the hash of its bytes."""

    file: str = field(metadata={"fact": Fact(check=_file_name)})
    sha256: str = field(metadata={"fact": Fact(check=_hash)})


@dataclass(frozen=True)
class Parent:
    """One concept that went into a merge; weight is None if the method takes none."""

    name: str
    weight: float | None
    sha256: str = field(metadata={"fact": Fact(check=_hash)})


@dataclass(frozen=True)
class Losses:
    """Training losses of a run: means over its first and last tenth, and the lowest such mean."""

    first: float | None = None
    last: float | None = None
    best: float | None = None


@dataclass(frozen=True)
class Concept:
    """One row of the library. `recipe` holds every effective value.

    `widths` maps each text encoder to the width of its vectors, `norms` to the L2 norm of each.
    `about` is what the maker's file says, under ModelSpec's names: title, author, license …
    Times are ISO 8601 in UTC. `path` and `bytes` describe the stored tensor file. `warnings` say
    what the run found wrong with it, and `scores` are reports, one for each protocol.
    """

    name: str = field(metadata={"fact": Fact(source="vectors")})
    token: str = field(metadata={"fact": Fact(source="vectors")})
    noun: str = fact("", check=plain_noun)
    kind: str = fact("object")
    init: str = fact("")
    vectors: int = fact(0, source="vectors")
    widths: Mapping[str, int] = fact(dict, source="vectors")
    base: BaseModel = fact(UNKNOWN_BASE, shared="public name")
    recipe: Mapping[str, Any] = fact(dict, shared="no paths")
    seed: int | None = fact(None)
    steps: int = fact(0)
    losses: Losses = fact(Losses())
    norms: Mapping[str, list[float]] = fact(dict, source="vectors")
    photos: tuple[PhotoRecord, ...] = fact((), shared="no names")
    parents: tuple[Parent, ...] = fact(())
    tags: tuple[str, ...] = fact((), varies="later")
    notes: str = fact("", shared="request", varies="later")
    device: str = fact("", shared="no paths")
    versions: Mapping[str, str] = fact(dict, shared="no paths")
    seconds: float = fact(0.0, varies="run", check=_seconds)
    created: str = fact("", varies="run")
    used: str = fact("", source="row", varies="later")
    path: str = fact("", source="place")
    bytes: int = fact(0, source="row")
    sha256: str = fact("", source="row")
    outcome: Outcome = fact(Outcome(), optional=True)
    curves: Curves = fact(Curves(), optional=True)
    warnings: tuple[str, ...] = fact((), optional=True, shared="no paths")
    about: Mapping[str, str] = fact(dict, optional=True, shared="no paths")
    scores: tuple[Mapping[str, Any], ...] = fact((), source="row", shared="never", varies="later")

    def as_json(self) -> dict[str, Any]:
        """The one object for a concept everywhere; keys are added, never renamed."""
        document = asdict(self)
        return {key: list(v) if isinstance(v, tuple) else v for key, v in document.items()}

    def as_file_json(self) -> dict[str, Any]:
        """What the concept's own file says of it: all but what the row alone knows."""
        return {key: v for key, v in self.as_json().items() if FACTS[key].source in IN_FILE}

    @property
    def trigger(self) -> str:
        """What to write in a prompt: the token, and its noun if it has one."""
        return f"{self.token} {self.noun}" if self.noun else self.token


IN_FILE = ("file", "vectors")
FACTS: Mapping[str, Fact] = {part.name: part.metadata["fact"] for part in fields(Concept)}
TYPES: Mapping[str, Any] = get_type_hints(Concept)
# The fields whose values a file is read for. Those of a stranger's file are checked.
FROM_FILE = {
    key: it.check or reader(TYPES[key]) for key, it in FACTS.items() if it.source == "file"
}


@dataclass(frozen=True, eq=False)
class Embedding:
    """The learned numbers: encoder key → float32 array of shape (vectors, width).

    Encoder keys are the field's: `clip_l` (Stable Diffusion 1 and the starter's encoder in its
    place), `clip_h` (2.x), `clip_g`, `t5`, `gemma`.
    """

    rows: Mapping[str, Vectors] = field(default_factory=dict)

    @property
    def widths(self) -> dict[str, int]:
        """Encoder → width of its vectors."""
        return {key: int(rows.shape[1]) for key, rows in self.rows.items()}

    @property
    def vectors(self) -> int:
        """How many vectors the concept has in every encoder."""
        return max((int(rows.shape[0]) for rows in self.rows.values()), default=0)
