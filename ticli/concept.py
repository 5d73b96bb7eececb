"""What the library knows of one learned word: the Concept, its Embedding, its BaseModel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


# How a training run went: why it stopped, which vectors it kept, what each evaluation found.


@dataclass(frozen=True)
class Curves:
    """What every evaluation found, each list as long as `steps`.

    `held_out` are mean denoising losses on what the word is not trained on, `drift` is 1 minus the
    mean cosine between context tokens beside the word and beside its class word.
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
    """How the run of a concept ended; nothing is known of one that was not learned here.

    `stopped` is "settled" or "steps"; `kept` the step whose vectors were kept, `held_out` their
    loss and `held_out_init` that of the class word in the same sentences. `held_out_photo` is the
    index of the photo that was not trained on, None where other crops stood in. `init_words` are
    the best words of `--init auto`, `memory` says what was given up for lack of it, and why;
    steps that could not be recorded or compiled are named there too.
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
    memory: tuple[str, ...] = ()


def curves_from(document: Mapping[str, Any]) -> Curves:
    """Read curves back from their JSON object."""
    return Curves(**{key: tuple(values) for key, values in document.items()})


def outcome_from(document: Mapping[str, Any]) -> Outcome:
    """Read an outcome back from its JSON object."""
    lists = {
        "attempts": tuple(Attempt(**item) for item in document.get("attempts", ())),
        "init_words": tuple(WordLoss(**item) for item in document.get("init_words", ())),
        "memory": tuple(document.get("memory", ())),
    }
    return Outcome(**{**document, **lists})


if TYPE_CHECKING:
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
