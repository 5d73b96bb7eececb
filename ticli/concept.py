"""What the library knows of one learned word: the Concept, its Embedding, its BaseModel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ticli.outcome import Curves, Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class BaseModel:
    """The model a concept was learned on. Unknown parts of an imported concept are ""."""

    family: str
    id: str
    revision: str
    fingerprint: str


@dataclass(frozen=True)
class PhotoRecord:
    """One training photo: its file name without folder, and the hash of its bytes."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Parent:
    """One concept that went into a merge; weight is None where the method takes none."""

    name: str
    weight: float | None
    sha256: str


@dataclass(frozen=True)
class Losses:
    """Training losses of a run: means over its first and last tenth, and the lowest such mean."""

    first: float | None = None
    last: float | None = None
    best: float | None = None


@dataclass(frozen=True)
class Concept:
    """One row of the library. `recipe` holds every effective value; `norms` one norm a vector.

    `widths` maps each text encoder to the width of its vectors, `norms` likewise to their L2
    norms. Times are ISO 8601 in UTC. `path` and `bytes` describe the stored tensor file.
    `warnings` are what the run that learned it found wrong with it, `scores` the reports of how
    it was judged since, one a protocol.
    """

    name: str
    token: str
    noun: str
    kind: str
    init: str
    vectors: int
    widths: Mapping[str, int]
    base: BaseModel
    recipe: Mapping[str, Any]
    seed: int | None
    steps: int
    losses: Losses
    norms: Mapping[str, list[float]]
    photos: tuple[PhotoRecord, ...]
    parents: tuple[Parent, ...]
    tags: tuple[str, ...]
    notes: str
    device: str
    versions: Mapping[str, str]
    seconds: float
    created: str
    used: str
    path: str
    bytes: int
    sha256: str
    outcome: Outcome = field(default_factory=Outcome)
    curves: Curves = field(default_factory=Curves)
    warnings: tuple[str, ...] = ()
    scores: tuple[Mapping[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The one object for a concept everywhere; keys are added, never renamed."""
        document = asdict(self)
        return {key: list(v) if isinstance(v, tuple) else v for key, v in document.items()}

    @property
    def trigger(self) -> str:
        """What to write in a prompt: the token, and its noun where it has one."""
        return f"{self.token} {self.noun}" if self.noun else self.token


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
        """How many vectors the word has in every encoder."""
        return max((int(rows.shape[0]) for rows in self.rows.values()), default=0)
