"""How a training run went: why it stopped, which vectors it kept, what each evaluation found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
