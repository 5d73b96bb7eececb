"""The model a prompt is drawn with, and whether its concepts belong there."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ticli.concept import Concept
from ticli.errors import Conflict, ModelUnavailable
from ticli.families import FAMILIES
from ticli.models.download import Announce
from ticli.models.folder import encoder_parts
from ticli.models.locate import STARTER_ID, ModelSource, locate
from ticli.models.single_files.recognising import NOTHING_GIVEN, Given
from ticli.settings import Settings

OWN_MODEL = "choose another model with -m MODEL or TI_MODEL; ti models lists what can be used"


@dataclass(frozen=True)
class ModelRequest:
    """What the user said about the model; "" for a flag that was not given.

    `announce` is called before a model is downloaded; without it none is. `given` is for a model in
    one file. `find_prediction` finds out what such a model predicts, if nothing says so.
    """

    model: str = ""
    offline: bool = False
    strict_base: bool = False
    device: str = ""
    dtype: str = ""
    announce: Announce | None = None
    given: Given = NOTHING_GIVEN
    find_prediction: Callable[[ModelSource], ModelSource] | None = None


@dataclass(frozen=True)
class ModelChoice:
    """The model, its fingerprint, and what the user should hear about it."""

    source: ModelSource
    fingerprint: str
    notes: tuple[str, ...]


def choose_model(
    concepts: Sequence[Concept], request: ModelRequest, settings: Settings
) -> ModelChoice:
    """Choose the model for `concepts`: -m, the configured one, their own, the starter.

    The configured model is passed over if it does not fit all of them. Raises Conflict for a
    concept of another family or width, or under `strict_base` of another base, and
    ModelUnavailable.
    """
    from ticli.models.fingerprint import fingerprint

    choice = _candidate(concepts, request, settings)
    misfits = [concept for concept in concepts if choice.source.misfit(concept)]
    if misfits:
        raise _misfit(misfits[0], choice.source, alone=len(misfits) == len(concepts))
    found = fingerprint(choice.source)
    strangers = [concept for concept in concepts if concept.base.fingerprint != found]
    notes = tuple(_stranger_note(concept, choice.source) for concept in strangers)
    if strangers and request.strict_base:
        raise Conflict(notes[0], "leave --strict-base out to use it all the same")
    source = choice.source
    if source.is_untold and request.find_prediction is not None:
        source = request.find_prediction(source)
    return ModelChoice(source, found, (*choice.notes, *source.remarks, *notes))


def _candidate(
    concepts: Sequence[Concept], request: ModelRequest, settings: Settings
) -> ModelChoice:
    """The model to use, not yet compared with the concepts if the user named it."""
    offline = request.offline or settings["offline"] == "true"

    def find(model: str) -> ModelSource:
        return locate(model, offline=offline, announce=request.announce, given=request.given)

    if request.model:
        return ModelChoice(find(request.model), "", ())
    passed_over = ""
    if settings["model"]:
        configured = find(settings["model"])
        odd = next((concept for concept in concepts if configured.misfit(concept)), None)
        if odd is None:
            origin = settings.origin("model")
            return ModelChoice(configured, "", (f"model {configured.describe()} ({origin})",))
        passed_over = f"; {configured.id} does not fit {odd.token}"
    own = next((concept for concept in concepts if concept.base.id), None)
    if own is not None:
        try:
            source = find(own.base.id)
        except ModelUnavailable as error:
            raise ModelUnavailable(
                f"{own.token} was learned on a model that cannot be had: {error.message}",
                error.hint,
            ) from error
        note = f"model {source.describe()}, which {own.token} was learned on{passed_over}"
        return ModelChoice(source, "", (note,))
    built_in = locate(STARTER_ID, given=request.given)
    note = f"model {built_in.describe()}, the built-in one{passed_over}"
    return ModelChoice(built_in, "", (f"{note}; -m MODEL or TI_MODEL chooses a real one",))


def _misfit(concept: Concept, source: ModelSource, *, alone: bool) -> Conflict:
    """Name both sides and the way out; not `alone` if other concepts do fit the model."""
    about = {"concept": concept.name, "model": source.id}
    if apart := _encoders_apart(concept, source):
        return Conflict(*apart, **about)
    if not alone:
        hint = "concepts of two models cannot share a picture: learn one again on the other's model"
    elif concept.base.id == STARTER_ID and source.is_starter:
        hint = relearn(concept)
    elif concept.base.id:
        hint = f"draw with -m {concept.base.id}, or learn it again on {source.id}"
    elif concept.base.family in FAMILIES:
        title = FAMILIES[concept.base.family].title
        hint = f"give a {title} model with -m MODEL or TI_MODEL; ti models lists those you have"
    else:
        hint = OWN_MODEL
    return Conflict(source.misfit(concept), hint, **about)


def _encoders_apart(concept: Concept, source: ModelSource) -> tuple[str, str] | None:
    """What to say and to do if one side has a text encoder more, and the others are the same.

    A concept that one encoder reads as nothing would be half a concept, so it is not used.
    """
    own, model = concept.widths, source.widths
    kin = concept.base.family in ("", source.family)
    if not kin or any(own[key] != model[key] for key in own.keys() & model.keys()):
        return None
    more, less = sorted(own.keys() - model.keys()), sorted(model.keys() - own.keys())
    if bool(more) == bool(less):
        return None
    single = source.single
    if more:
        hint = "give a folder that has it: --components DIR; or " if single else ""
        return (
            f"{concept.token} was learned with the text encoder {', '.join(more)}, which "
            f"{source.id} does without",
            f"{hint}{relearn(concept)}",
        )
    lent = [part.folder for part in encoder_parts(source) if part.key in less and part.optional]
    away = single is not None and lent and not any(single.holds(folder) for folder in lent)
    hint = f"draw without it: --components DIR, a folder without {', '.join(lent)}; or "
    return (
        f"{concept.token} was learned without the text encoder {', '.join(less)}, which "
        f"{source.id} reads prompts with",
        f"{hint if away else ''}{relearn(concept)}",
    )


def _stranger_note(concept: Concept, source: ModelSource) -> str:
    base = concept.base
    if base.id == STARTER_ID and source.is_starter:
        versions = f"{base.revision or 'another version'}, and this is {source.revision}"
        return (
            f"{concept.token} was learned on starter {versions}: it may look wrong; "
            f"{relearn(concept)}"
        )
    if not base.fingerprint:
        return f"{concept.token} does not say which model it was learned on: it may look different"
    if base.id == source.id:
        learned = f"another version of {base.id}"
    else:
        learned = f"{base.id or 'another model'}, not on {source.id}"
    return f"{concept.token} was learned on {learned}: it may look different"


def relearn(concept: Concept) -> str:
    """Say how to learn a concept again; PHOTOS stands for its photos."""
    if not concept.recipe and not concept.parents:
        return "it was imported: import the files of all its text encoders together"
    if concept.parents:
        parts = ", ".join(parent.name for parent in concept.parents)
        return f"learn what it was merged from again ({parts}), then merge it with --replace"
    words = ["ti invert PHOTOS", f'--token "{concept.token}"']
    if concept.init:
        words.append(f"--init {shlex.quote(concept.init)}")
    if concept.vectors > 1:
        words.append(f"--vectors {concept.vectors}")
    if concept.kind not in ("", "object"):
        words.append(f"--kind {concept.kind}")
    return f"learn it again: {' '.join(words)} --replace"
