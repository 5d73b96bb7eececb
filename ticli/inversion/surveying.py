"""Which of many words can be learned, found out before any of them is; torch is not needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ticli.concept import Concept
from ticli.errors import BadContent, Conflict, Diverged, NotFound, TiError, Usage
from ticli.inversion.names import private_name, twin_name
from ticli.inversion.plan import Plan, Request, make_plan
from ticli.inversion.runs import check_run
from ticli.inversion.settling import AUTO
from ticli.library.library import Library
from ticli.names import Token, parse_token

# What concerns one word alone; a model that cannot be had or a full disk ends them all.
OF_ONE_WORD = (BadContent, Conflict, Diverged, NotFound, Usage)


@dataclass(frozen=True)
class Refused:
    """A word that cannot be learned, and why; the others can."""

    token: Token
    error: TiError


def survey(
    requests: Sequence[Request], library: Library, runs: Path | None, fresh: bool = False
) -> Iterator[Plan | Concept | Refused]:
    """Plan each of the words in turn: its plan, or the concept that it has become already.

    Unfinished runs are looked for in `runs`, unless that is None; `fresh` ones do not count. Plans
    hold photos, so that they are yielded one by one. Raises what concerns all of the words.
    """
    spoken_for: dict[str, Token] = {}
    for request in requests:
        token = parse_token(request.token)
        try:
            found = plan_or_concept(request, library, fresh)
            if isinstance(found, Plan):
                _speak_for(found, spoken_for)
                if runs is not None:
                    check_run(runs, token.name, found.identity(), fresh=fresh)
        except OF_ONE_WORD as error:
            yield Refused(token, error)
            continue
        yield found


def plan_or_concept(request: Request, library: Library, fresh: bool = False) -> Plan | Concept:
    """Plan a word, or find that the library has what the plan would make.

    With `fresh` it is learned all the same. Raises as make_plan does.
    """
    known = library.find(parse_token(request.token).name)
    if known is None:
        return make_plan(request, library)
    plan = make_plan(replace(request, replace=True), library)
    if not fresh and is_learned(plan, known):
        return known
    # Where nothing may be replaced this says so.
    return plan if request.replace else make_plan(request, library)


def is_learned(plan: Plan, concept: Concept) -> bool:
    """Whether a concept came of a plan's photos, recipe, seed and model.

    Captions and masks are not looked at: a concept's row does not hold them.
    """
    recipe, known = plan.recipe.as_json(), dict(concept.recipe)
    chosen = ["init"] if plan.recipe.init == AUTO else []
    for knob in [*chosen, *(["noun"] if plan.noun_follows else [])]:
        recipe.pop(knob)
        known.pop(knob, None)
    return (
        recipe == known
        and plan.seed == concept.seed
        and plan.token.text == concept.token
        and plan.source.family == concept.base.family
        and plan.fingerprint == concept.base.fingerprint
        and [photo.sha256 for photo in plan.photos.photos] == [p.sha256 for p in concept.photos]
    )


def _speak_for(plan: Plan, spoken_for: dict[str, Token]) -> None:
    """Note the names that a plan's rows have. Raises Conflict where another's have one of them."""
    name, recipe = plan.token.name, plan.recipe
    names = [name]
    if recipe.negative_vectors:
        names.append(twin_name(name))
    if recipe.photo_words:
        names += [private_name(name, photo) for photo in range(len(plan.photos.photos))]
    for taken in names:
        if taken in spoken_for:
            raise Conflict(
                f"<{taken}> would be a word of {spoken_for[taken].text} and of {plan.token.text}",
                "give one of them another name",
            )
    spoken_for.update(dict.fromkeys(names, plan.token))
