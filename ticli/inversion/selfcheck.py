"""What is looked at before a word is stored: that it does something, with every vector it has."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ticli.inversion.attempts import Finished
from ticli.inversion.evaluation import Judge
from ticli.inversion.examples import Examples
from ticli.inversion.objective import predict
from ticli.inversion.vectors import NEGATIVE, PRIVATE, Vectors, encoder_of

# Of the prediction's own size; at least what a number's rounding in the model's precision may come
# to, which for bfloat16 is more.
LEAST_CHANGE = 1e-3


def check_word(
    judge: Judge, start: Vectors, finished: Finished, held_out_init: float
) -> tuple[str, ...]:
    """Warnings about the word that a try kept; none where all is well.

    It is held against its class word, whose held-out loss is `held_out_init`, and against its own
    `start`: a word that has learned nothing differs from its class word where both stand in the
    sentence.
    """
    word = kept_word(start, finished)
    # The word itself is looked at: the photos' own words are the same beside it and what it meets.
    start, instead = start.beside(word), judge.stand_in.beside(word)
    predicted = _predict(judge, word, judge.examples)
    least = max(LEAST_CHANGE, torch.finfo(judge.model.hardware.dtype).eps)
    if _change(predicted, _predict(judge, instead, judge.plain)) < least:
        return ("the word changes no picture: what it predicts is what its class word predicts",)
    if _change(predicted, _predict(judge, start, judge.examples)) < least:
        return ("the word changes no picture: what it predicts is what it predicted at its start",)
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


def kept_word(start: Vectors, finished: Finished) -> Vectors:
    """What a try kept, on the device where it started."""
    devices = {name: row.device for name, row in start.parameters().items()}
    return start.at({name: row.to(devices[name]) for name, row in finished.rows.items()})


def _no_better(
    judge: Judge, start: Vectors, held_out: float, held_out_init: float
) -> Iterator[str]:
    """What the word does not beat on what it was not trained on, if anything."""
    for name, loss in (("class word", held_out_init), ("start", judge.held_out(start))):
        if not held_out < loss:
            yield (
                f"the word is no better than its {name} on what it was not trained on: "
                f"{held_out:.4g} against {loss:.4g}; try more --steps or another --lr"
            )
            return


def _without_each(word: Vectors) -> Iterator[tuple[str, Vectors]]:
    """The word with one vector after another turned about, and that vector's name."""
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
