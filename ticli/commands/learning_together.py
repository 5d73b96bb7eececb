"""`ti invert` for several words: survey them all, then learn them side by side."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ticli.commands.learning_run import Ask, hardware_of, keep_word, preview, way_of
from ticli.commands.words_asked import requests_of
from ticli.concept import Concept, Embedding
from ticli.errors import TiError
from ticli.names import parse_token
from ticli.paths import places
from ticli.settings import load_settings
from ticli.terminal.planned import json_of, say_starter, write_plan
from ticli.terminal.planned_together import Words, line_of, say_notes_of, say_plans
from ticli.terminal.progress_together import ProgressTogether
from ticli.terminal.signals import noted_signals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ticli.inversion.plan import Plan, Request
    from ticli.inversion.running import Way
    from ticli.inversion.together import Entrant, Event
    from ticli.library.library import Library


@dataclass(frozen=True)
class Call:
    """A call that asks for several words, what has become of them, and where they are kept."""

    ask: Ask
    words: Words
    library: Library


def learn_words(ask: Ask) -> None:
    """Carry out a call of `ti invert` for several words. Raises the TiErrors of its parts."""
    from ticli.library.library import Library

    requests = requests_of(ask, load_settings())
    words = Words(ask.output, [parse_token(request.token).name for request in requests])
    way = way_of(ask, load_settings(), str(places().home))
    if ask.dry_run:
        _show_plans(Call(ask, words, Library.open()), requests, way)
        return
    # Before any work: a library that cannot be written would lose the words at the very end.
    call = Call(ask, words, Library.open(write=True))
    try:
        going, heaviest = _survey(call, requests, way)
        if heaviest is not None:
            _learn(call, going, heaviest, way)
    except TiError as error:
        error.details["completed"] = words.completed
        raise
    words.close()


def _survey(call: Call, requests: Sequence[Request], way: Way) -> tuple[list[Request], Plan | None]:
    """The words that are to be learned, and the plan among them that needs most memory."""
    from ticli.inversion.surveying import Refused, survey

    going, lines, heaviest = [], [], None
    found_words = survey(requests, call.library, places().runs, call.ask.fresh)
    for request, found in zip(requests, found_words, strict=True):
        if isinstance(found, Refused):
            call.words.fail(found.token, found.error)
        elif isinstance(found, Concept):
            call.words.known(found)
        else:
            say_notes_of(call.ask.output, found)
            lines.append(line_of(found))
            going.append(request)
            heaviest = found if heaviest is None else max(heaviest, found, key=_weight)
    if heaviest is not None:
        words = "1 word" if len(lines) == 1 else f"{len(lines)} words"
        way = replace(way, result=f"{words} in {places().home}")
        say_plans(call.ask.output, lines, heaviest, way)
    return going, heaviest


def _weight(plan: Plan) -> int:
    return plan.recipe.batch * plan.recipe.size**2


def _show_plans(call: Call, requests: Sequence[Request], way: Way) -> None:
    """Write every word's plan to stdout, as text or one JSON array."""
    from ticli.inversion.surveying import Refused, survey

    output, documents, shown = call.ask.output, [], 0
    for found in survey(requests, call.library, None, call.ask.fresh):
        if isinstance(found, Refused):
            call.words.fail(found.token, found.error)
            continue
        if isinstance(found, Concept):
            call.words.say_known(found)
            continue
        if not shown:
            say_starter(output, found.source, way)
        say_notes_of(output, found)
        own = replace(way, result=f"{found.token.name} in {places().home}")
        if output.json:
            documents.append(json_of(found, own))
        else:
            output.lines([""] * bool(shown))
            write_plan(found, own)
        shown += 1
    if call.words.failed:
        call.words.close()
    if output.json:
        output.document(documents)


def _learn(call: Call, going: Sequence[Request], heaviest: Plan, way: Way) -> None:
    ask, count = call.ask, len(going)
    hardware = hardware_of(ask, way, heaviest.source)
    from ticli.inversion.together import learn_together, open_course

    course = open_course(heaviest, hardware, (count, ask.together), ask.output.note)
    entrants = [_entrant(call, request) for request in going]
    with (
        noted_signals() as signalled,
        ProgressTogether(ask.progress, count, ask.output) as progress,
        closing(learn_together(course, entrants, signalled)) as events,
    ):
        for event in events:
            _hear(call, event, progress)
    if call.words.documents:
        *_, last = call.words.documents.values()
        ask.output.hint(f'try: ti generate "{last["token"]} on the moon"')


def _entrant(call: Call, request: Request) -> Entrant:
    from ticli.inversion.plan import make_plan
    from ticli.inversion.together import Entrant

    def ready() -> tuple[Plan, Embedding | None]:
        plan = make_plan(request, call.library)
        return plan, call.library.embedding(plan.start) if plan.start else None

    return Entrant(parse_token(request.token), ready, call.ask.fresh)


def _hear(call: Call, event: Event, progress: ProgressTogether) -> None:
    """Show what has happened; a word that has ended goes into the library."""
    from ticli.inversion.surveying import OF_ONE_WORD, Refused
    from ticli.inversion.together import Ended, Joined, Stepped

    ask, words = call.ask, call.words
    if isinstance(event, Refused):
        words.fail(event.token, event.error)
        progress.leave(event.token.name)
        return
    learning = event.learning
    token, taken = learning.plan.token, learning.attempts.steps
    if isinstance(event, Joined):
        progress.join(token.name, token.text)
        if taken:
            ask.output.note(f"{token.text}: continuing from step {taken} of {learning.total}")
    elif isinstance(event, Stepped):
        progress.update(token.name, event.step)
        if ask.preview_every and event.step.index % ask.preview_every == 0:
            preview(ask, learning, event.step.index)
    elif isinstance(event, Ended):
        try:
            words.learned(keep_word(ask, learning, call.library), progress)
        except OF_ONE_WORD as error:
            words.fail(token, error)
        progress.leave(token.name)
