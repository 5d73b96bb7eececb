"""A finished run as a concept for the library: its vectors, how it went, what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ticli import __version__
from ticli.concept import BaseModel, Concept, Embedding, Losses, PhotoRecord
from ticli.errors import Diverged
from ticli.inversion.attempts import Finished
from ticli.inversion.learning import Learning
from ticli.inversion.selfcheck import check_word, kept_word
from ticli.inversion.stopping import Evaluation, thinned
from ticli.outcome import Curves, Outcome

# Points of a curve that are stored: enough to draw it, little enough for every row.
MOST_POINTS = 200


def conclude(learning: Learning) -> tuple[Concept, Embedding]:
    """The concept and vectors of a run that has taken all its steps, for the library.

    Raises Diverged where no try ended well.
    """
    plan, recipe, winner = learning.plan, learning.plan.recipe, learning.attempts.winner
    if winner is None:
        raise Diverged("every try diverged", "use a lower --lr, or --dtype fp32")
    rows = {key: winner.rows[key].float().cpu() for key in learning.state.vectors.rows}
    start = learning.started(winner.attempt.seed)
    held_out_init = learning.judge.held_out_init(kept_word(start, winner))
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
        device=learning.model.hardware.describe(),
        versions=_versions(),
        seconds=round(learning.seconds, 3),
        created="",
        used="",
        path="",
        bytes=0,
        sha256="",
        outcome=_outcome(learning, winner, held_out_init),
        curves=_curves(winner.evaluations),
        warnings=check_word(learning.judge, start, winner, held_out_init),
    )
    return concept, Embedding({key: row.numpy() for key, row in rows.items()})


def _outcome(learning: Learning, winner: Finished, held_out_init: float) -> Outcome:
    return Outcome(
        stopped=winner.attempt.stopped,
        kept=winner.kept.step,
        held_out=_short(winner.kept.held_out),
        held_out_init=_short(held_out_init),
        drift=_short(winner.kept.drift),
        held_out_photo=learning.prepared.photo,
        skipped=winner.skipped,
        restores=winner.restores,
        attempts=tuple(
            replace(attempt, held_out=attempt.held_out and _short(attempt.held_out))
            for attempt in learning.attempts.done
        ),
        init_words=learning.init_words,
        memory=tuple(learning.model.given_up),
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
