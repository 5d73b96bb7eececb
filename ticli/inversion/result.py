"""A finished run as a concept for the library: its vectors, how it went, what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ticli import __version__
from ticli.concept import BaseModel, Concept, Curves, Embedding, Losses, Outcome, PhotoRecord
from ticli.errors import Diverged
from ticli.inversion.evaluation import Judge
from ticli.inversion.examples import Examples
from ticli.inversion.loss import predict
from ticli.inversion.schedule import Evaluation, thinned
from ticli.inversion.state import Finished
from ticli.inversion.vectors import NEGATIVE, PRIVATE, Vectors, encoder_of
from ticli.names import Token, twin_token

if TYPE_CHECKING:
    from ticli.inversion.training import Training

# What is checked before a concept is stored: that it does something, with every vector it has.

# Of the prediction's own size; at least what a number's rounding in the model's precision may come
# to, which for bfloat16 is more.
LEAST_CHANGE = 1e-3


def check_vectors(
    judge: Judge, start: Vectors, finished: Finished, held_out_init: float
) -> tuple[str, ...]:
    """Warnings about the vectors that a run keeps; none where all is well.

    It is held against its class word, whose held-out loss is `held_out_init`, and against its own
    `start`: a word that has learned nothing differs from its class word where both stand in the
    sentence.
    """
    word = kept_vectors(start, finished)
    # The concept itself is checked: the photos' own words are the same beside it and what it meets.
    start, instead = start.beside(word), judge.stand_in.beside(word)
    predicted = _predict(judge, word, judge.examples)
    least = max(LEAST_CHANGE, torch.finfo(judge.model.hardware.dtype).eps)
    if _change(predicted, _predict(judge, instead, judge.plain)) < least:
        return ("the concept changes no picture: it predicts what its class word predicts",)
    if _change(predicted, _predict(judge, start, judge.examples)) < least:
        return ("the concept changes no picture: it predicts what it predicted at its start",)
    idle = [
        name
        for name, other in _without_each(word)
        if _change(predicted, _predict(judge, other, judge.examples)) < least
    ]
    warnings = []
    if idle:
        flags = "--vectors or --negative-vectors" if word.negative else "--vectors"
        warnings.append(f"{', '.join(idle)} changes nothing: use fewer {flags}")
    return (*warnings, *_no_better(judge, start, finished.kept.held_out, held_out_init))


def kept_vectors(start: Vectors, finished: Finished) -> Vectors:
    """The vectors that a run keeps, on the device where it started."""
    devices = {name: row.device for name, row in start.parameters().items()}
    return start.at({name: row.to(devices[name]) for name, row in finished.rows.items()})


def _no_better(
    judge: Judge, start: Vectors, held_out: float, held_out_init: float
) -> Iterator[str]:
    """What the concept does not beat on what it was not trained on, if anything."""
    for name, loss in (("class word", held_out_init), ("start", judge.held_out(start))):
        if not held_out < loss:
            yield (
                f"the concept is no better than its {name} on what it was not trained on: "
                f"{held_out:.4g} against {loss:.4g}; try more --steps or another --lr"
            )
            return


def _without_each(word: Vectors) -> Iterator[tuple[str, Vectors]]:
    """The concept with one vector after another reversed, and that vector's name."""
    every = word.parameters()
    for name, rows in every.items():
        # A photo's own word stays with the run: nobody will miss it.
        if name.endswith(PRIVATE):
            continue
        whose = "the negative twin in " if name.endswith(NEGATIVE) else ""
        for number in range(len(rows)):
            row = rows.detach().clone()
            row[number].neg_()
            said = f"vector {number + 1} of {whose}{encoder_of(name)}"
            yield said, word.at({**every, name: row})


def _predict(judge: Judge, vectors: Vectors, examples: Examples) -> torch.Tensor:
    """The denoiser's answers over the whole fixed batch."""
    count = len(judge.draw.timesteps)
    parts = [slice(begin, begin + judge.batch) for begin in range(0, count, judge.batch)]
    with torch.no_grad():
        return torch.cat(
            [predict(judge.model, examples, vectors, judge.draw, part)[0] for part in parts]
        )


def _change(one: torch.Tensor, other: torch.Tensor) -> float:
    """Root mean square of the difference, of that of the first."""
    return float((one - other).norm() / one.norm().clamp_min(1e-12))


# Points of a curve that are stored: enough to draw it, little enough for every row.
MOST_POINTS = 200


def conclude(training: Training) -> tuple[Concept, Embedding]:
    """The concept and vectors of a run that has taken all its steps, for the library.

    Raises Diverged if no restart ended well.
    """
    plan, recipe, winner = training.plan, training.plan.recipe, training.winner
    if winner is None:
        raise Diverged("every restart diverged", "use a lower --lr, or --dtype fp32")
    rows = {key: winner.rows[key].float().cpu() for key in training.state.vectors.rows}
    start = training.vectors_at_start(winner.attempt.seed)
    held_out_init = training.judge.held_out_init(kept_vectors(start, winner))
    source = plan.source
    concept = Concept(
        name=plan.token.name,
        token=plan.token.text,
        noun=recipe.noun,
        kind=recipe.kind,
        init=recipe.init,
        vectors=recipe.vectors,
        widths=dict(source.widths),
        base=BaseModel(source.family, source.id, source.revision, plan.fingerprint),
        recipe=recipe.as_json(),
        seed=plan.seed,
        steps=winner.attempt.steps,
        losses=_losses(winner.losses),
        norms={key: row.norm(dim=1).tolist() for key, row in rows.items()},
        photos=tuple(PhotoRecord(p.file, p.sha256) for p in plan.photos.photos),
        parents=(),
        tags=(),
        notes="",
        device=training.model.hardware.describe(),
        versions=_versions(),
        seconds=round(training.seconds, 3),
        created="",
        used="",
        path="",
        bytes=0,
        sha256="",
        outcome=_outcome(training, winner, held_out_init),
        curves=_curves(winner.evaluations),
        warnings=check_vectors(training.judge, start, winner, held_out_init),
    )
    return concept, Embedding({key: row.numpy() for key, row in rows.items()})


def _outcome(training: Training, winner: Finished, held_out_init: float) -> Outcome:
    return Outcome(
        stopped=winner.attempt.stopped,
        kept=winner.kept.step,
        held_out=_short(winner.kept.held_out),
        held_out_init=_short(held_out_init),
        drift=_short(winner.kept.drift),
        held_out_photo=training.judge.spared,
        skipped=winner.skipped,
        restores=winner.restores,
        attempts=tuple(
            replace(attempt, held_out=attempt.held_out and _short(attempt.held_out))
            for attempt in training.done
        ),
        init_words=training.init_words,
        memory=tuple(training.model.given_up),
    )


def _curves(evaluations: Sequence[Evaluation]) -> Curves:
    points = thinned(evaluations, MOST_POINTS)
    return Curves(
        steps=tuple(point.step for point in points),
        held_out=tuple(_short(point.held_out) for point in points),
        drift=tuple(_short(point.drift) for point in points),
    )


def _short(value: float) -> float:
    """Six digits: more would be noise, and rows are kept in thousands."""
    return float(f"{value:.6g}")


def _losses(losses: Sequence[float]) -> Losses:
    if not losses:
        return Losses()
    tenth = max(1, len(losses) // 10)
    parts = [losses[i : i + tenth] for i in range(0, len(losses), tenth)]
    means = [sum(part) / len(part) for part in parts]
    return Losses(first=means[0], last=sum(losses[-tenth:]) / tenth, best=min(means))


def _versions() -> dict[str, str]:
    import diffusers
    import transformers

    return {
        "ti": __version__,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }


# The negative twin of a concept, as a concept of its own.

KIND = "negative"


def words_of(training: Training) -> list[tuple[Concept, Embedding]]:
    """What a finished run gives the library: its concept, and the negative twin if any.

    Raises Diverged if no restart ended well.
    """
    concept, embedding = conclude(training)
    winner = training.winner
    twin = negative_twin(concept, winner.rows) if winner else None
    return [(concept, embedding), *([twin] if twin else [])]


def negative_twin(
    concept: Concept, rows: Mapping[str, torch.Tensor]
) -> tuple[Concept, Embedding] | None:
    """The twin that was trained beside a concept, for the library; None where there is none.

    `rows` are named as Vectors.parameters() names them.
    """
    own = {
        name.removesuffix(NEGATIVE): row.detach().float().cpu()
        for name, row in rows.items()
        if name.endswith(NEGATIVE)
    }
    if not own:
        return None
    token = twin_token(Token(concept.name, concept.token))
    twin = replace(
        concept,
        name=token.name,
        token=token.text,
        noun="",
        kind=KIND,
        init="",
        vectors=max(len(row) for row in own.values()),
        norms={key: row.norm(dim=1).tolist() for key, row in own.items()},
    )
    return twin, Embedding({key: row.numpy() for key, row in own.items()})
