"""What is looked at before a word is stored: that it does something, with every vector it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from ticli.inversion.attempts import Finished
from ticli.inversion.evaluation import Judge, with_rows
from ticli.inversion.examples import Examples
from ticli.inversion.objective import predict
from ticli.inversion.vectors import Vectors

# Of the prediction's own size: what half precision alone may change.
LEAST_CHANGE = 1e-3


def check_word(
    judge: Judge,
    vectors: Vectors,
    rows: Mapping[str, torch.Tensor],
    ended: tuple[Finished, float],
) -> tuple[str, ...]:
    """Warnings about the word of `rows`, by encoder; none where all is well.

    `ended` are how its try went and the class word's held-out loss.
    """
    finished, held_out_init = ended
    word = with_rows(vectors, {key: row.to(judge.model.device) for key, row in rows.items()})
    predicted = _predict(judge, word, judge.examples)
    plainly = _predict(judge, judge.stand_in, judge.plain)
    if _change(predicted, plainly) < LEAST_CHANGE:
        return ("the word changes no picture: what it predicts is what its class word predicts",)
    idle = [
        name
        for name, other in _without_each(judge, word)
        if _change(predicted, _predict(judge, other, judge.examples)) < LEAST_CHANGE
    ]
    warnings = []
    if idle:
        warnings.append(f"{', '.join(idle)} changes nothing: use fewer --vectors")
    loss = finished.kept.held_out
    if not loss < held_out_init:
        warnings.append(
            f"the word is no better than its class word on what it was not trained on: "
            f"{loss:.4g} against {held_out_init:.4g}; try more --steps or another --lr"
        )
    return tuple(warnings)


def _without_each(judge: Judge, word: Vectors) -> Iterator[tuple[str, Vectors]]:
    """The word with one vector after another turned about, and that vector's name."""
    for key, rows in word.rows.items():
        for number in range(len(rows)):
            row = rows.detach().clone()
            row[number].neg_()
            yield f"vector {number + 1} of {key}", with_rows(word, {**word.rows, key: row})


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
