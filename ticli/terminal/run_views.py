"""What `ti invert` says: the plan of a run, what becomes of each concept, and how a run ended."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
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

# Of several concepts; more are counted, and --verbose lists them all.
MOST_LISTED = 20


def say_plan(output: Output, plan: Plan, setup: RunSetup) -> None:
    """Say on stderr what a run will do, after its notes and warnings."""
    say_starter(output, plan.source, setup)
    say_notes(output, plan)
    if not output.quiet:
        for line in _lines(plan, setup):
            say(line)


def say_starter(output: Output, source: ModelSource, setup: RunSetup) -> None:
    """Say on stderr that a run uses the starter, if nobody asked for it."""
    if source.is_starter and not setup.model_named:
        output.note(
            "using the built-in starter model, which knows simple scenes; -m MODEL chooses another"
        )


def say_notes(output: Output, plan: Plan, prefix: str = "") -> None:
    """Say on stderr what a user should know of a concept before it is learned."""
    for text in plan.notes:
        output.note(prefix + text)
    for text in plan.warnings:
        output.warn(prefix + text)


def say_notes_of(output: Output, plan: Plan) -> None:
    """Say the notes of one concept among several."""
    say_notes(output, plan, f"{plan.token.text}: ")


def show_plan(output: Output, plan: Plan, setup: RunSetup) -> None:
    """Write a dry run's plan to stdout, as text or one JSON document; notes go to stderr."""
    say_starter(output, plan.source, setup)
    say_notes(output, plan)
    if output.json:
        output.document(json_of(plan, setup))
    else:
        write_plan(plan, setup)


def json_of(plan: Plan, setup: RunSetup) -> dict[str, Any]:
    """A dry run's plan as one JSON document."""
    from ticli.inversion.plan import plan_as_json

    machine = {"device": setup.device, "dtype": setup.dtype}
    return plan_as_json(plan) | machine | {"result": setup.result}


def write_plan(plan: Plan, setup: RunSetup) -> None:
    """Write a dry run's plan to stdout as text: with the crops and sentences."""
    from ticli.photos.cropping import describe_crop
    from ticli.photos.sidecars import describe_mask

    lines = [*_lines(plan, setup), "  crops"]
    for photo in plan.photos.photos:
        mask = describe_mask(photo, plan.recipe.size)
        lines.append(safe_text(f"    {describe_crop(photo)}{f', {mask}' if mask else ''}"))
    lines.append("  sentences")
    texts = dict.fromkeys(text for texts in plan.sentences for text in texts)
    for line in (*lines, *(safe_text(f"    {text}") for text in texts)):
        write_line(line)


def _lines(plan: Plan, setup: RunSetup) -> list[str]:
    recipe, photos = plan.recipe, plan.photos.photos
    each = counted(recipe.batch, "picture")
    if recipe.accumulate > 1:
        each = f"{recipe.accumulate} × {each}"
    vectors = counted(recipe.vectors, "vector")
    rows = [
        ("concept", f"{plan.trigger}, {vectors} from {recipe.init!r}"),
        ("photos", f"{len(photos)}: {', '.join(photo.file for photo in photos)}"),
        *_machine(plan, setup),
        (
            "recipe",
            f"{setup.recipe_name}: {counted(recipe.steps, 'step')} of {each}, "
            f"lr {recipe.lr:g}, {recipe.kind}, seed {plan.seed}",
        ),
        *_options(recipe, setup.recipe_name),
        ("result", setup.result),
    ]
    return [safe_text(f"  {heading:<11}{text}") for heading, text in rows]


def _machine(plan: Plan, setup: RunSetup) -> list[tuple[str, str]]:
    return [
        ("model", f"{plan.source.describe()}, {plan.recipe.size} pixels"),
        ("device", setup.device_and_why),
        ("precision", setup.precision_and_why),
    ]


def _options(recipe: Recipe, name: str) -> list[tuple[str, str]]:
    """The knobs that no other line tells and that differ from the recipe's own.

    Of a recipe that comes with `ti` only what flags changed; of a file all that it says.
    """
    known = replace(load_recipe(name) if name in PRESETS else Recipe(), kind=recipe.kind)
    # A plan has settled these by the kind, which another line tells.
    known = replace(known, timestep_low=known.least_noise, photo_words=known.own_words)
    told = {"kind", "init", "noun", "vectors", "steps", "lr", "batch", "accumulate", "size"}
    changed = [
        f"{knob} {str(value).lower() if isinstance(value, bool) else value}"
        for knob, value in recipe.as_json().items()
        if knob not in told | {"sentences"} and value != getattr(known, knob)
    ]
    return [("options", ", ".join(changed))] if changed else []


def line_of(plan: Plan) -> str:
    """One concept of many in a line, as text that is safe to show."""
    recipe = plan.recipe
    vectors = counted(recipe.vectors, "vector")
    photos = counted(len(plan.photos.photos), "photo")
    return safe_text(
        f"{plan.trigger}, {vectors} from {recipe.init!r}, {photos}, {recipe.steps} steps of "
        f"{recipe.batch * recipe.accumulate}, lr {recipe.lr:g}, {recipe.kind}, seed {plan.seed}"
    )


def say_plans(output: Output, lines: Sequence[str], plan: Plan, setup: RunSetup) -> None:
    """Say on stderr what a call will do with all its concepts; `plan` is one of theirs."""
    say_starter(output, plan.source, setup)
    if output.quiet:
        return
    shown = lines if output.verbose else lines[:MOST_LISTED]
    for number, line in enumerate(shown):
        say(f"  {'concepts' if not number else '':<11}{line}")
    if rest := len(lines) - len(shown):
        say(f"  {'':<11}and {rest} more; --verbose lists them")
    for heading, text in (*_machine(plan, setup), ("result", setup.result)):
        say(safe_text(f"  {heading:<11}{text}"))


@dataclass
class Results:
    """What has become of the concepts of one call, said as soon as it is known.

    `order` are all their names, `documents` the learned ones' JSON objects, `failed` what was in
    the way of others.
    """

    output: Output
    order: Sequence[str]
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[Token, TiError] = field(default_factory=dict)

    def fail(self, token: Token, error: TiError) -> None:
        """Say that a concept cannot be learned, and how to put that right."""
        self.failed[token] = error
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
        with progress.aside() if progress and is_terminal(sys.stdout) else nullcontext():
            self.output.line(concept.name)
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
        texts = ", ".join(token.text for token in self.failed)
        raise TiError(
            f"{len(errors)} of {counted(len(self.order), 'concept')} could not be learned: {texts}",
            "the same command again learns only what is missing",
            completed=self.completed,
            failed=[
                {"name": token.name, "code": e.code, "message": e.message, "hint": e.hint}
                for token, e in self.failed.items()
            ],
        )


def say_learned(output: Output, concept: Concept, seconds: float) -> None:
    """Say why a run stopped, which vectors it kept, and what they are worth; warnings louder."""
    outcome, steps = concept.outcome, concept.recipe["steps"]
    why = "took all its steps"
    if outcome.stopped == "settled":
        why = f"settled before its cap of {steps}"
    text = f"{counted(concept.steps, 'step')}, {why}; it kept step {outcome.kept}"
    if len(outcome.attempts) > 1:
        losses = [attempt.held_out for attempt in outcome.attempts]
        won = losses.index(min(loss for loss in losses if loss is not None))
        text += f" of seed {outcome.attempts[won].seed}, the best of {len(outcome.attempts)}"
    output.note(f"learned {concept.trigger} in {seconds:.0f} s: {text}")
    on = "on other crops" if outcome.held_out_photo is None else "on the photo held out"
    # The loss is compared with that of the class word, or of the start if there is none.
    word = concept.noun or ("" if concept.init in ("random", "mean") else concept.init)
    place = f"{word!r} in its place" if word and not word.startswith("<") else "where it started"
    output.note(
        f"held-out loss {outcome.held_out:.4f} {on}, {place} "
        f"{outcome.held_out_init:.4f}; the prompt's other words drifted {outcome.drift:.3f}"
    )
    if outcome.skipped:
        output.warn(f"{outcome.skipped} steps had no finite gradient and were left out")
    if outcome.restores:
        times = counted(outcome.restores, "time")
        output.warn(f"the run diverged and went back {times}, at half the rate each")
    diverged = [str(attempt.seed) for attempt in outcome.attempts if attempt.stopped == "diverged"]
    if diverged:
        output.warn(f"the run of seed {', '.join(diverged)} diverged")
    for text in concept.warnings:
        output.warn(text)
