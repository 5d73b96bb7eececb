"""The plan of `ti invert` as text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ticli.concept import Concept
from ticli.errors import TiError, counted
from ticli.names import Token
from ticli.recipe import PRESETS, Recipe, load_recipe
from ticli.terminal.output import Output, is_terminal, say, write_line
from ticli.terminal.progress import Progress
from ticli.terminal.safe_text import safe_text

if TYPE_CHECKING:
    from ticli.inversion.plan import Plan, RunSetup
    from ticli.models.folder import ModelSource


def say_plan(output: Output, plan: Plan, way: RunSetup) -> None:
    """Say on stderr what a run will do, after its notes and warnings."""
    say_notes(output, plan, way)
    if not output.quiet:
        for line in _lines(plan, way):
            say(line)


def say_notes(output: Output, plan: Plan, way: RunSetup) -> None:
    """Say on stderr what a user should know of a run before it begins."""
    say_starter(output, plan.source, way)
    for text in plan.notes:
        output.note(text)
    for text in plan.warnings:
        output.warn(text)


def say_starter(output: Output, source: ModelSource, way: RunSetup) -> None:
    """Say on stderr that a run uses the starter, where nobody asked for it."""
    if source.is_starter and not way.model_named:
        output.note(
            "using the built-in starter model, which knows simple scenes; -m MODEL chooses another"
        )


def show_plan(output: Output, plan: Plan, way: RunSetup) -> None:
    """Write a dry run's plan to stdout, as text or one JSON document; notes go to stderr."""
    say_notes(output, plan, way)
    if output.json:
        output.document(json_of(plan, way))
        return
    write_plan(plan, way)


def json_of(plan: Plan, way: RunSetup) -> dict[str, Any]:
    """A dry run's plan as one JSON document."""
    from ticli.inversion.plan import plan_as_json

    return plan_as_json(plan) | {"device": way.device, "dtype": way.dtype, "result": way.result}


def write_plan(plan: Plan, way: RunSetup) -> None:
    """Write a dry run's plan to stdout as text."""
    for line in (*_lines(plan, way), *_details(plan)):
        write_line(line)


def _lines(plan: Plan, way: RunSetup) -> list[str]:
    recipe, photos = plan.recipe, plan.photos.photos
    each = f"{recipe.batch} pictures"
    if recipe.accumulate > 1:
        each = f"{recipe.accumulate} × {each}"
    vectors = counted(recipe.vectors, "vector")
    return [
        safe_text(line)
        for line in (
            f"  concept    {plan.trigger}, {vectors} from {recipe.init!r}",
            f"  photos     {len(photos)}: {', '.join(photo.file for photo in photos)}",
            f"  model      {plan.source.describe()}, {recipe.size} pixels",
            f"  device     {way.device_and_why}",
            f"  precision  {way.precision_and_why}",
            f"  recipe     {way.recipe_name}: {recipe.steps} steps of {each}, "
            f"lr {recipe.lr:g}, {recipe.kind}, seed {plan.seed}",
            *_options(recipe, way.recipe_name),
            f"  result     {way.result}",
        )
    ]


def _options(recipe: Recipe, name: str) -> list[str]:
    """The knobs that no other line tells and that are not as they come.

    Of a recipe that comes with `ti` only what flags changed; of a file all that it says.
    """
    known = replace(load_recipe(name) if name in PRESETS else Recipe(), kind=recipe.kind)
    # A plan has settled it by the kind, which another line tells.
    known = replace(known, timestep_low=known.least_noise, photo_words=known.own_words)
    told = {"kind", "init", "noun", "vectors", "steps", "lr", "batch", "accumulate", "size"}
    changed = [
        f"{name} {str(value).lower() if isinstance(value, bool) else value}"
        for name, value in recipe.as_json().items()
        if name not in told | {"sentences"} and value != getattr(known, name)
    ]
    return [f"  options    {', '.join(changed)}"] if changed else []


def _details(plan: Plan) -> list[str]:
    from ticli.photos.cropping import describe_crop
    from ticli.photos.sidecars import describe_mask

    crops = []
    for photo in plan.photos.photos:
        mask = describe_mask(photo, plan.recipe.size)
        crops.append(f"    {describe_crop(photo)}{f', {mask}' if mask else ''}")
    texts = list(dict.fromkeys(text for texts in plan.sentences for text in texts))
    return [
        safe_text(line)
        for line in ("  crops", *crops, "  sentences", *(f"    {text}" for text in texts))
    ]


# Several concepts: what is said before they are learned, and of those that cannot be.

# More are counted; --verbose lists them all.
MOST_LISTED = 20


@dataclass
class Words:
    """What has become of the concepts of one call, said as soon as it is known.

    `order` are all their names; `documents` the learned ones' JSON objects, `failed` what was in
    the way of others.
    """

    output: Output
    order: Sequence[str]
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, TiError] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def fail(self, token: Token, error: TiError) -> None:
        """Say that a concept cannot be learned, and how to put that right."""
        self.failed[token.name] = error
        self.tokens[token.name] = token.text
        hint = f"; {error.hint}" if error.hint else ""
        self.output.warn(f"{token.text}: {error.message}{hint}")

    def known(self, concept: Concept) -> None:
        """Note a concept that the library already has, just as it would be learned."""
        self.say_known(concept)
        self.learned(concept)

    def say_known(self, concept: Concept) -> None:
        """Say that a concept need not be learned."""
        self.output.note(
            f"{concept.token} is already in the library, learned from the same photos with the "
            "same recipe, seed and model; --fresh --replace learns it again"
        )

    def learned(self, concept: Concept, progress: Progress | None = None) -> None:
        """Write a concept's name to stdout as soon as it is in the library."""
        self.documents[concept.name] = concept.as_json()
        if self.output.json:
            return
        if progress is not None and is_terminal(sys.stdout):
            with progress.aside():
                self.output.line(concept.name)
        else:
            self.output.line(concept.name)
        if sys.stdout is not None:
            # A pipe holds lines back; its reader should have each name at once.
            sys.stdout.flush()

    @property
    def completed(self) -> list[str]:
        """The names of the concepts that are in the library."""
        return [name for name in self.order if name in self.documents]

    def close(self) -> None:
        """Write the JSON array, or raise what was in the way of some concepts.

        What was in the way of all of them alike is raised itself.
        """
        if not self.failed:
            if self.output.json:
                self.output.document([self.documents[name] for name in self.order])
            return
        errors = list(self.failed.values())
        alike = {(type(error), error.message) for error in errors}
        if 1 < len(self.order) == len(errors) and len(alike) == 1:
            raise errors[0]
        texts = ", ".join(self.tokens[name] for name in self.failed)
        raise TiError(
            f"{len(errors)} of {len(self.order)} concepts could not be learned: {texts}",
            "the same command again learns only what is missing",
            completed=self.completed,
            failed=[
                {"name": name, "code": e.code, "message": e.message, "hint": e.hint}
                for name, e in self.failed.items()
            ],
        )


def say_notes_of(output: Output, plan: Plan) -> None:
    """Say on stderr what a user should know of one concept among many before it is learned."""
    for text in plan.notes:
        output.note(f"{plan.token.text}: {text}")
    for text in plan.warnings:
        output.warn(f"{plan.token.text}: {text}")


def line_of(plan: Plan) -> str:
    """One concept of many in a line, as text that is safe to show."""
    recipe = plan.recipe
    vectors = counted(recipe.vectors, "vector")
    photos = counted(len(plan.photos.photos), "photo")
    return safe_text(
        f"{plan.trigger}, {vectors} from {recipe.init!r}, {photos}, {recipe.steps} steps of "
        f"{recipe.batch * recipe.accumulate}, lr {recipe.lr:g}, {recipe.kind}, seed {plan.seed}"
    )


def say_plans(output: Output, lines: Sequence[str], plan: Plan, way: RunSetup) -> None:
    """Say on stderr what a call will do with all its concepts; `plan` is one of theirs."""
    say_starter(output, plan.source, way)
    if output.quiet:
        return
    shown = lines if output.verbose else lines[:MOST_LISTED]
    rest = len(lines) - len(shown)
    for number, line in enumerate(shown):
        say(f"  {'concepts' if not number else '':<11}{line}")
    if rest:
        say(f"  {'':<11}and {rest} more; --verbose lists them")
    for heading, text in (
        ("model", f"{plan.source.describe()}, {plan.recipe.size} pixels"),
        ("device", way.device_and_why),
        ("precision", way.precision_and_why),
        ("result", way.result),
    ):
        say(safe_text(f"  {heading:<11}{text}"))


# How a run ended, in the lines that `ti invert` says last.

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
