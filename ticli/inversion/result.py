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
from ticli.library.record import longest_vector
from ticli.names import Token, twin_token

if TYPE_CHECKING:
    from ticli.inversion.training import Training

# The least change of a prediction, of its own size; rounding in bfloat16 comes to more.
LEAST_CHANGE = 1e-3


def check_vectors(
    judge: Judge, start: Vectors, finished: Finished, held_out_init: float
) -> tuple[str, ...]:
    """Warnings about the vectors that a run keeps: each must do something.

    The concept is compared with its class word, whose held-out loss is `held_out_init`, and with
    its own `start`, because one that learned nothing differs from its class word if both stand in
    the sentence.
    """
    kept = kept_vectors(start, finished)
    # The photos' own words are the same on both sides, so that only the concept is checked.
    start, instead = start.beside(kept), judge.stand_in.beside(kept)
    predicted = _predict(judge, kept, judge.examples)
    least = max(LEAST_CHANGE, torch.finfo(judge.model.hardware.dtype).eps)
    if _change(predicted, _predict(judge, instead, judge.plain)) < least:
        return ("the concept changes no picture: it predicts what its class word predicts",)
    if _change(predicted, _predict(judge, start, judge.examples)) < least:
        return ("the concept changes no picture: it predicts what it predicted at its start",)
    idle = [
        name
        for name, other in _without_each(kept)
        if _change(predicted, _predict(judge, other, judge.examples)) < least
    ]
    warnings = []
    if idle:
        flags = "--vectors or --negative-vectors" if kept.negative else "--vectors"
        warnings.append(f"{', '.join(idle)} changes nothing: use fewer {flags}")
    norms = {key: rows.float().norm(dim=1).tolist() for key, rows in kept.rows.items()}
    if (longest := longest_vector(norms)) is not None:
        warnings.append(
            f"the largest vector has a norm of {longest:.3g}, where words have about 0.4: it would "
            "drown the rest of a prompt; learn again with --norm vocabulary or a lower --lr"
        )
    return (*warnings, *_no_better(judge, start, finished.kept.held_out, held_out_init))


def kept_vectors(start: Vectors, finished: Finished) -> Vectors:
    """The vectors that a run keeps, on the device of its start."""
    devices = {name: row.device for name, row in start.parameters().items()}
    return start.at({name: row.to(devices[name]) for name, row in finished.rows.items()})


def _no_better(
    judge: Judge, start: Vectors, held_out: float, held_out_init: float
) -> Iterator[str]:
    """Warn if the concept is no better than its class word or its start."""
    for name, loss in (("class word", held_out_init), ("start", judge.held_out(start))):
        if not held_out < loss:
            yield (
                f"the concept is no better than its {name} on what it was not trained on: "
                f"{held_out:.4g} against {loss:.4g}; try more --steps or another --lr"
            )
            return


def _without_each(vectors: Vectors) -> Iterator[tuple[str, Vectors]]:
    """The concept with one vector after another reversed, by that vector's description."""
    every = vectors.parameters()
    for name, rows in every.items():
        # A photo's own word is not kept.
        if name.endswith(PRIVATE):
            continue
        whose = "the negative twin in " if name.endswith(NEGATIVE) else ""
        for number in range(len(rows)):
            row = rows.detach().clone()
            row[number].neg_()
            said = f"vector {number + 1} of {whose}{encoder_of(name)}"
            yield said, vectors.at({**every, name: row})


def _predict(judge: Judge, vectors: Vectors, examples: Examples) -> torch.Tensor:
    """The denoiser's predictions for the whole fixed batch."""
    count = len(judge.draw.timesteps)
    parts = [slice(begin, begin + judge.batch) for begin in range(0, count, judge.batch)]
    with torch.no_grad():
        return torch.cat(
            [predict(judge.model, examples, vectors, judge.draw, part)[0] for part in parts]
        )


def _change(one: torch.Tensor, other: torch.Tensor) -> float:
    """Root mean square of the difference, relative to that of `one`."""
    return float((one - other).norm() / one.norm().clamp_min(1e-12))


# Points of a curve that are stored: enough to draw it, few enough for every row.
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


def concepts_of(training: Training) -> list[tuple[Concept, Embedding]]:
    """What a finished run gives the library: its concept, and the negative twin if any.

    Raises Diverged if no restart ended well.
    """
    concept, embedding = conclude(training)
    twin = negative_twin(concept, training.winner.rows) if training.winner else None
    return [(concept, embedding), *([twin] if twin else [])]


def negative_twin(
    concept: Concept, rows: Mapping[str, torch.Tensor]
) -> tuple[Concept, Embedding] | None:
    """The negative twin that was trained beside a concept, if any, as a concept of its own.

    `rows` are named as in Vectors.parameters().
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
        kind="negative",
        init="",
        vectors=max(len(row) for row in own.values()),
        norms={key: row.norm(dim=1).tolist() for key, row in own.items()},
    )
    return twin, Embedding({key: row.numpy() for key, row in own.items()})
