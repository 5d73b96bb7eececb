"""What a run will do, settled and checked before torch is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ticli.concept import Concept
from ticli.errors import BadContent, Conflict, Diverged, NotFound, TiError, Usage, counted
from ticli.families import FAMILIES
from ticli.families.family import FLOW
from ticli.inversion.run_folder import check_run
from ticli.library.library import Library
from ticli.models.download import Announce
from ticli.models.fingerprint import fingerprint
from ticli.models.folder import find_tower
from ticli.models.locate import ModelSource, locate, vocabulary
from ticli.models.single_files.recognising import NOTHING_GIVEN, Given
from ticli.names import TOKEN, Token, parse_token, private_name, twin_name, twin_token
from ticli.photos.finding import Found, describe_skipped, find_photos
from ticli.photos.loading import PhotoSet, load_photos
from ticli.photos.sentences import family, fill
from ticli.photos.sidecars import Captions, find_masks, mask_digest, read_captions, subject_share
from ticli.recipe import Recipe, more_than_room

FALLBACK_INIT = "object"
AUTO = "auto"
CHOSEN_INITS = ("random", "mean", AUTO)
# Such a word would only be a second concept.
ALONE = "there is only one photo, so it gets no word of its own"
# Errors of one concept alone; the others can still be learned.
OF_ONE_CONCEPT = (BadContent, Conflict, Diverged, NotFound, Usage)


def check_options(
    recipe: Recipe, source: ModelSource, token: Token, library: Library, replacing: bool
) -> None:
    """Refuse what the model cannot do, and a negative twin whose name is taken.

    Raises Usage, Conflict, NotFound and ModelUnavailable.
    """
    if recipe.min_snr and FAMILIES[source.family].law is FLOW:
        raise Usage(
            f"min_snr {recipe.min_snr:g} weighs a diffusion's timesteps, and {source.id} is a "
            "flow model",
            "leave out --min-snr; --timestep-weighting logit-normal is what such models use",
        )
    if recipe.warm_start:
        find_tower(source, recipe.warm_start)
    if not recipe.negative_vectors:
        return
    if not source.reads_negative:
        raise Usage(
            f"{source.id} takes no negative prompt, so a negative twin would be of no use",
            "leave out --negative-vectors",
        )
    twin = twin_token(token)
    if library.find(twin.name) is not None and not replacing:
        raise Conflict(
            f"{twin.name!r}, the name of the negative twin, is in the library already",
            f"give --replace, or `ti rename {twin.name} NEW` first",
            name=twin.name,
        )


def check_lineage(start: Concept, source: ModelSource) -> None:
    """Raise Conflict if a concept to start from does not fit the model."""
    if misfit := source.misfit(start):
        own = f"-m {start.base.id}" if start.base.id else "-m MODEL"
        raise Conflict(
            misfit,
            f"start from a concept that fits {source.id}, or learn on a model it fits: {own}",
            concept=start.name,
            model=source.id,
        )


def lineage_notes(start: Concept | None, source: ModelSource, fingerprint: str) -> list[str]:
    """Say that a concept to start from was learned on another model, or on an unknown one."""
    if start is None or start.base.fingerprint == fingerprint:
        return []
    if not start.base.fingerprint:
        return [f"{start.token}, which to start from, does not say which model it was learned on"]
    other = start.base.id or "another model"
    on = f"{other}, not on {source.id}"
    if start.base.id == source.id:
        on = f"another version of {source.id}"
    return [f"{start.token}, which to start from, was learned on {on}"]


def class_word(recipe: Recipe, start: Concept | None) -> str | None:
    """A settled recipe's class word; None if the concept starts at no word."""
    if recipe.noun:
        return recipe.noun
    return None if start is not None or recipe.init in ("random", "mean") else recipe.init


def noun_follows(recipe: Recipe) -> bool:
    """Whether the word that the photos choose becomes the noun too."""
    return recipe.init.strip() == AUTO and recipe.noun == "auto" and recipe.kind != "style"


def check_room(
    recipe: Recipe,
    init: str,
    start: Concept | None,
    source: ModelSource,
    vocabulary: Mapping[str, int],
) -> None:
    """Raise Usage if the words or the concept to start from have more vectors than the recipe."""
    if recipe.vectors == 1 or init in CHOSEN_INITS or f"{init}</w>" in vocabulary:
        return
    count = start.vectors if start is not None else 0
    if start is None:
        from ticli.models.model import load_tokenizer

        count = len(load_tokenizer(source)(init, add_special_tokens=False).input_ids)
    if count > recipe.vectors:
        raise more_than_room(init, count, recipe.vectors)


def settle(
    recipe: Recipe,
    source: ModelSource,
    vocabulary: Mapping[str, int],
    *,
    token: Token,
    library: Library,
) -> tuple[Recipe, Concept | None, list[str]]:
    """Fill in the init word, noun and size that a recipe leaves open.

    Returns the settled recipe, the concept that it starts from, if any, and notes. Raises Usage,
    NotFound and Conflict.
    """
    notes: list[str] = []
    init, start = recipe.init.strip(), None
    named = bool(init) or f"{token.name}</w>" in vocabulary
    if not init:
        init = token.name if named else FALLBACK_INIT
        if named:
            notes.append(
                f"starting from the word {init!r}, which {source.id} knows, and it is the class "
                "word too; --init WORD chooses another"
            )
        else:
            notes.append(
                f"starting from the word {FALLBACK_INIT!r}, because {source.id} does not know "
                f"{token.name!r}; --init WORD chooses a closer one"
            )
    if init == AUTO:
        notes.append(
            f"the photos choose the word to start from, among up to {recipe.init_candidates}"
            f"{', and the class word with it' if noun_follows(recipe) else ''}"
        )
    if match := TOKEN.fullmatch(init):
        start = library.get(match[1])
        check_lineage(start, source)
        init = start.token
        if recipe.vectors == 1 < start.vectors:
            recipe = replace(recipe, vectors=start.vectors)
            notes.append(f"{start.vectors} vectors, as {start.token} has")
    check_room(recipe, init, start, source, vocabulary)
    noun = recipe.noun
    if noun == "auto":
        is_word = named and init not in CHOSEN_INITS and recipe.kind != "style"
        noun = (start.noun if start else init) if is_word else ""
    recipe = replace(recipe, init=init, noun=noun, timestep_low=recipe.least_noise)
    if recipe.context and class_word(recipe, start) is None:
        notes.append("context is left out: there is no class word to compare with; --noun WORD")
        recipe = replace(recipe, context=0.0)
    size = recipe.size or source.size
    if size % source.grain:
        near = max(source.grain, size // source.grain * source.grain)
        raise Usage(f"size must be a multiple of {source.grain}, not {size}", f"--size {near}")
    return replace(recipe, size=size), start, notes


@dataclass(frozen=True)
class Request:
    """What the user asked for; `stdin` holds the paths if `-` is among the photos.

    `announce` is called before a model is downloaded; without it none is. `given` is for a model in
    one file. `find_prediction` finds out from a plan's photos what such a model predicts, if
    nothing says so; without it that stays open.
    """

    photos: tuple[str, ...]
    token: str
    recipe: Recipe
    model: str
    seed: int
    replace: bool
    offline: bool
    stdin: bytes | None = None
    announce: Announce | None = None
    given: Given = NOTHING_GIVEN
    find_prediction: Callable[[Plan], ModelSource] | None = None


@dataclass(frozen=True)
class Plan:
    """A run that can begin. `recipe` holds every effective value, also init, noun and size.

    With the init "auto", the photos choose the word once the model is loaded, and the noun too if
    `noun_follows`. `sentences` are each photo's training sentences with the trigger in place. The
    user should hear `notes` and `warnings` before the run.
    """

    token: Token
    photos: PhotoSet
    source: ModelSource
    fingerprint: str
    recipe: Recipe
    seed: int
    sentences: tuple[tuple[str, ...], ...]
    start: Concept | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    noun_follows: bool = False

    @property
    def trigger(self) -> str:
        noun = self.recipe.noun
        return f"{self.token.text} {noun}" if noun else self.token.text

    @property
    def class_word(self) -> str | None:
        """The noun, or else the words that the concept starts from."""
        return class_word(self.recipe, self.start)

    def identity(self) -> dict[str, Any]:
        """What must be the same for an unfinished run to be continued."""
        single = self.source.single
        # A prediction found by trying may change between two parts of a run.
        said_by_user = single is not None and single.said_by_user
        return {
            "token": self.token.text,
            "photos": [photo.sha256 for photo in self.photos.photos],
            "model": self.source.id,
            "fingerprint": self.fingerprint,
            **({"prediction": single.prediction} if single and said_by_user else {}),
            "seed": self.seed,
            **self.recipe.as_json(),
            "texts": [list(texts) for texts in self.sentences],
            "noun_follows": self.noun_follows,
            "start": self.start.sha256 if self.start else "",
            "masked": [mask_digest(photo) for photo in self.photos.photos],
        }


def make_plan(request: Request, library: Library) -> Plan:
    """Check everything that needs no torch, beginning with what is cheapest to put right.

    Raises Usage, Conflict, NotFound, BadContent and ModelUnavailable.
    """
    if not isinstance(request.seed, int) or request.seed.bit_length() > 63:
        raise Usage(f"seed cannot be {request.seed!r}", "use a whole number from 0 to 2^63 - 1")
    token = parse_token(request.token)
    _check_free(token, request, library)
    source = locate(
        request.model, offline=request.offline, announce=request.announce, given=request.given
    )
    plan = _plan(request, library, token, source)
    if source.is_untold and request.find_prediction is not None:
        # The prediction tells the model's size, and everything else follows from that.
        plan = _plan(request, library, token, request.find_prediction(plan))
    return plan


def _plan(request: Request, library: Library, token: Token, source: ModelSource) -> Plan:
    words = vocabulary(source)
    if {token.text, token.text.lower()} & words.keys():
        raise Usage(f"{token.text} is a word of {source.id} already", "choose another --token")
    recipe, start, notes = settle(request.recipe, source, words, token=token, library=library)
    check_options(recipe, source, token, library, request.replace)
    found = find_photos(request.photos, request.stdin)
    unused = found.captions and not (recipe.captions or recipe.strict_captions)
    photos, masked = _masked(load_photos(found, recipe.size), found, recipe)
    alone = recipe.own_words and len(photos.photos) == 1
    recipe = replace(recipe, photo_words=0.0 if alone else recipe.own_words)
    captions = (
        read_captions(photos.photos, token, recipe.strict_captions)
        if recipe.captions or recipe.strict_captions
        else None
    )
    skipped = describe_skipped(found)
    found_fingerprint = fingerprint(source)
    rejected = [f"left out {file.name}: {reason}" for file, reason in photos.rejected]
    return Plan(
        token=token,
        photos=photos,
        source=source,
        fingerprint=found_fingerprint,
        recipe=recipe,
        seed=request.seed,
        sentences=_sentences(photos, captions, recipe, token),
        start=start,
        notes=(
            *notes,
            *source.remarks,
            *lineage_notes(start, source, found_fingerprint),
            *([skipped] if skipped else []),
            *masked,
            *([ALONE] if alone else []),
            *_caption_notes(captions),
            *(
                [f"{counted(found.captions, 'caption')} beside the photos; --captions uses them"]
                if unused
                else []
            ),
        ),
        warnings=(*rejected, *photos.warnings),
        noun_follows=noun_follows(request.recipe),
    )


def _check_free(token: Token, request: Request, library: Library) -> None:
    if library.find(token.name) is not None and not request.replace:
        raise Conflict(
            f"{token.name!r} is in the library already",
            f"give --replace, or another --token; `ti show {token.name}` tells what it is",
            name=token.name,
        )


def _sentences(
    photos: PhotoSet, captions: Captions | None, recipe: Recipe, token: Token
) -> tuple[tuple[str, ...], ...]:
    trigger = f"{token.text} {recipe.noun}" if recipe.noun else token.text
    neutral = recipe.sentences or family(recipe.kind)
    by_photo = captions.by_photo if captions else {}
    return tuple(
        tuple(
            fill(text, trigger)
            for text in ((by_photo[p.sha256],) if p.sha256 in by_photo else neutral)
        )
        for p in photos.photos
    )


def _masked(photos: PhotoSet, found: Found, recipe: Recipe) -> tuple[PhotoSet, list[str]]:
    """Find the masks that a recipe asks for, and say what was found."""
    if not recipe.masks:
        count = len(found.masks)
        unused = f"{count} of the files are masks of others; --masks weighs the loss by them"
        return photos, [unused] if count else []
    masked = find_masks(photos.photos, recipe.size)
    notes = [f"masks: {len(masked.photos) - len(masked.missing)} found"]
    if masked.missing:
        notes.append(f"no mask for {', '.join(masked.missing)}: all of it is learned")
    return replace(photos, photos=masked.photos), notes


def _caption_notes(captions: Captions | None) -> list[str]:
    if captions is None:
        return []
    notes = [f"captions: {len(captions.by_photo)} found"]
    if captions.added:
        lacked = counted(captions.added, "caption")
        notes.append(f"the token was put in front of {lacked} that lacked it")
    if captions.missing:
        notes.append(f"no caption for {', '.join(captions.missing)}: neutral sentences are used")
    return notes


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """A plan as one JSON document."""
    from ticli.photos.cropping import crop_box

    size = plan.recipe.size
    return {
        "name": plan.token.name,
        "token": plan.token.text,
        "trigger": plan.trigger,
        "model": plan.source.id,
        "fingerprint": plan.fingerprint,
        "seed": plan.seed,
        "recipe": plan.recipe.as_json(),
        "photos": [
            {
                "file": photo.file,
                "sha256": photo.sha256,
                "width": photo.width,
                "height": photo.height,
                "turned": photo.turned,
                "crop": list(crop_box(photo)),
                "mask": {"file": photo.mask_file, "subject": subject_share(photo, size)}
                if photo.mask
                else None,
            }
            for photo in plan.photos.photos
        ],
        "sentences": sorted({text for texts in plan.sentences for text in texts}),
        "notes": list(plan.notes),
        "warnings": list(plan.warnings),
    }


@dataclass(frozen=True)
class RunSetup:
    """Where and how a run takes place, as far as is known before torch is imported.

    `device` and `dtype` are as asked; `result` says where the concept will be.
    """

    device: str
    device_origin: str
    dtype: str
    recipe_name: str
    model_named: bool
    result: str

    @property
    def device_and_why(self) -> str:
        """The device, or how "auto" will choose it."""
        if self.device == "auto":
            return "auto: CUDA, else MPS, else the CPU"
        return f"{self.device} ({self.device_origin})"

    @property
    def precision_and_why(self) -> str:
        """The precision, or how "auto" will choose it; the vectors are always float32."""
        if self.dtype != "auto":
            return f"{self.dtype}, vectors fp32"
        chosen = {
            "cpu": "bf16 where it pays, else fp32",
            "mps": "fp32",
            "cuda": "bf16 if the card has it, else fp16",
        }.get(self.device.split(":")[0], "auto: half where it pays, else fp32")
        return f"{chosen}, vectors fp32"


@dataclass(frozen=True)
class Refused:
    """A concept that cannot be learned, and why; the others can."""

    token: Token
    error: TiError


def survey(
    requests: Sequence[Request], library: Library, runs: Path | None, fresh: bool = False
) -> Iterator[Plan | Concept | Refused]:
    """Plan concepts one by one, because plans hold photos; or yield what the library has already.

    Unfinished runs in `runs` are compared with their plans, unless `fresh`. Raises what concerns
    all of the concepts.
    """
    taken: dict[str, Token] = {}
    for request in requests:
        token = parse_token(request.token)
        try:
            found = plan_or_concept(request, library, fresh)
            if isinstance(found, Plan):
                _take_names(found, taken)
                if runs is not None:
                    check_run(runs, token.name, found.identity(), fresh=fresh)
        except OF_ONE_CONCEPT as error:
            yield Refused(token, error)
            continue
        yield found


def plan_or_concept(request: Request, library: Library, fresh: bool = False) -> Plan | Concept:
    """Plan a concept, unless the library has it already and not `fresh`. Raises as make_plan."""
    known = library.find(parse_token(request.token).name)
    if known is None:
        return make_plan(request, library)
    plan = make_plan(replace(request, replace=True), library)
    if not fresh and is_learned(plan, known):
        return known
    _check_free(plan.token, request, library)
    return plan


def is_learned(plan: Plan, concept: Concept) -> bool:
    """Whether a concept was learned from the plan's photos with its recipe, seed and model.

    Captions and masks are not compared: a concept's row does not hold them.
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


def _take_names(plan: Plan, taken: dict[str, Token]) -> None:
    """Note the names of a plan's vectors. Raises Conflict if another plan has one of them."""
    name, recipe = plan.token.name, plan.recipe
    names = [name]
    if recipe.negative_vectors:
        names.append(twin_name(name))
    if recipe.photo_words:
        names += [private_name(name, photo) for photo in range(len(plan.photos.photos))]
    for own in names:
        if own in taken:
            raise Conflict(
                f"<{own}> would be a word of {taken[own].text} and of {plan.token.text}",
                "give one of them another name",
            )
    taken.update(dict.fromkeys(names, plan.token))
