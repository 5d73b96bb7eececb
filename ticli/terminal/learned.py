"""How a run ended, in the lines that `ti invert` says last."""

from __future__ import annotations

from ticli.concept import Concept
from ticli.terminal.output import Output

STOPPED = {
    "settled": "settled before its cap of {cap}",
    "steps": "took all its steps",
}


def say_learned(output: Output, concept: Concept, seconds: float) -> None:
    """Say why a run stopped, which vectors it kept, and what they are worth; warnings louder."""
    output.note(f"learned {concept.trigger} in {seconds:.0f} s: {_ending(concept)}")
    output.note(_worth(concept))
    for text in _accidents(concept):
        output.warn(text)
    for text in concept.warnings:
        output.warn(text)


def _ending(concept: Concept) -> str:
    outcome = concept.outcome
    why = STOPPED[outcome.stopped].format(cap=concept.recipe["steps"])
    text = f"{concept.steps} steps, {why}; kept is step {outcome.kept}"
    if len(outcome.attempts) > 1:
        losses = [attempt.held_out for attempt in outcome.attempts]
        won = losses.index(min(loss for loss in losses if loss is not None))
        text += f" of seed {outcome.attempts[won].seed}, the best of {len(outcome.attempts)}"
    return text


def _worth(concept: Concept) -> str:
    outcome = concept.outcome
    on = "on other crops" if outcome.held_out_photo is None else "on the photo held out"
    return (
        f"held-out loss {outcome.held_out:.4f} {on}, {_compared(concept)} "
        f"{outcome.held_out_init:.4f}; the prompt's other words drifted {outcome.drift:.3f}"
    )


def _compared(concept: Concept) -> str:
    """What the word's loss is compared with: its class word's, or the start's of no word."""
    if concept.noun:
        return f"{concept.noun!r} in its place"
    no_word = concept.init in ("random", "mean") or concept.init.startswith("<")
    return "where it started" if no_word else f"{concept.init!r} in its place"


def _accidents(concept: Concept) -> list[str]:
    outcome, said = concept.outcome, []
    if outcome.skipped:
        said.append(f"{outcome.skipped} steps had no finite gradient and were left out")
    if outcome.restores:
        said.append(
            f"the run diverged and went back {outcome.restores} time(s), at half the rate each"
        )
    diverged = [str(attempt.seed) for attempt in outcome.attempts if attempt.stopped == "diverged"]
    if diverged:
        said.append(f"the run of seed {', '.join(diverged)} diverged")
    return said
