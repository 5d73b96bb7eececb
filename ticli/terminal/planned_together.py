"""What `ti invert` says of many words: before they are learned, and of those that cannot be."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ticli.checkup import counted
from ticli.concept import Concept
from ticli.errors import TiError
from ticli.names import Token
from ticli.terminal.output import Output, is_terminal, say
from ticli.terminal.planned import say_starter
from ticli.terminal.progress_together import ProgressTogether
from ticli.terminal.safe_text import safe_text

if TYPE_CHECKING:
    from ticli.inversion.plan import Plan
    from ticli.inversion.running import Way

# More are counted; --verbose lists them all.
MOST_LISTED = 20


@dataclass
class Words:
    """What has become of the words of one call, said as soon as it is known.

    `order` are all their names; `documents` the learned ones' JSON objects, `failed` what was in
    the way of others.
    """

    output: Output
    order: Sequence[str]
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, TiError] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def fail(self, token: Token, error: TiError) -> None:
        """Name a word that cannot be learned, and what puts it right."""
        self.failed[token.name] = error
        self.tokens[token.name] = token.text
        hint = f"; {error.hint}" if error.hint else ""
        self.output.warn(f"{token.text}: {error.message}{hint}")

    def known(self, concept: Concept) -> None:
        """Name a word that the library has already, as it would be learned."""
        self.say_known(concept)
        self.learned(concept)

    def say_known(self, concept: Concept) -> None:
        """Say that a word needs not be learned."""
        self.output.note(
            f"{concept.token} is in the library already, learned from the same photos with the "
            "same recipe, seed and model; --fresh --replace learns it anew"
        )

    def learned(self, concept: Concept, progress: ProgressTogether | None = None) -> None:
        """Write a word's name to stdout as soon as it is in the library."""
        self.documents[concept.name] = concept.as_json()
        if self.output.json:
            return
        if progress is not None and is_terminal(sys.stdout):
            with progress.aside():
                self.output.line(concept.name)
        else:
            self.output.line(concept.name)
        if sys.stdout is not None:
            # A pipe keeps lines back; its reader is to have each word when it is there.
            sys.stdout.flush()

    @property
    def completed(self) -> list[str]:
        """The names of the words that are in the library."""
        return [name for name in self.order if name in self.documents]

    def close(self) -> None:
        """Write the JSON array, or raise what was in the way of some words.

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
            f"{len(errors)} of {len(self.order)} words could not be learned: {texts}",
            "the same command again learns only what is missing",
            completed=self.completed,
            failed=[
                {"name": name, "code": e.code, "message": e.message, "hint": e.hint}
                for name, e in self.failed.items()
            ],
        )


def say_notes_of(output: Output, plan: Plan) -> None:
    """Say on stderr what a user should know of one word among many before it is learned."""
    for text in plan.notes:
        output.note(f"{plan.token.text}: {text}")
    for text in plan.warnings:
        output.warn(f"{plan.token.text}: {text}")


def line_of(plan: Plan) -> str:
    """One word of many in a line, as text that is safe to show."""
    recipe = plan.recipe
    vectors = counted(recipe.vectors, "vector")
    photos = counted(len(plan.photos.photos), "photo")
    return safe_text(
        f"{plan.trigger}, {vectors} from {recipe.init!r}, {photos}, {recipe.steps} steps of "
        f"{recipe.batch * recipe.accumulate}, lr {recipe.lr:g}, {recipe.kind}, seed {plan.seed}"
    )


def say_plans(output: Output, lines: Sequence[str], plan: Plan, way: Way) -> None:
    """Say on stderr what a call will do with all its words; `plan` is one of them."""
    say_starter(output, plan.source, way)
    if output.quiet:
        return
    shown = lines if output.verbose else lines[:MOST_LISTED]
    rest = len(lines) - len(shown)
    for number, line in enumerate(shown):
        say(f"  {'words' if not number else '':<11}{line}")
    if rest:
        say(f"  {'':<11}and {rest} more; --verbose lists them")
    for heading, text in (
        ("model", f"{plan.source.describe()}, {plan.recipe.size} pixels"),
        ("device", way.device_and_why),
        ("precision", way.precision_and_why),
        ("result", way.result),
    ):
        say(safe_text(f"  {heading:<11}{text}"))
