"""What a run will do, settled and checked before torch is imported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ticli.concept import Concept
from ticli.errors import Conflict, Usage
from ticli.inversion.fitting import check_options
from ticli.inversion.lineage import lineage_notes
from ticli.inversion.settling import class_word, noun_follows, settle, settle_photo_words
from ticli.library.library import Library
from ticli.models.downloading import Announce
from ticli.models.fingerprint import fingerprint
from ticli.models.single_files.single_file import NOTHING_GIVEN, Given
from ticli.models.source import ModelSource, locate, vocabulary
from ticli.names import Token, parse_token
from ticli.photos.captions import Captions, read_captions
from ticli.photos.finding import Found, describe_skipped, find_photos
from ticli.photos.loading import PhotoSet, load_photos
from ticli.photos.masks import find_masks, mask_digest, subject_share
from ticli.photos.sentences import family, fill
from ticli.recipe import Recipe


@dataclass(frozen=True)
class Request:
    """What the user asked for; `stdin` holds the paths where `-` is among the photos.

    `announce` is told before a model is downloaded; without it none is. `given` is for a model in
    one file. `find_prediction` finds out by a plan's photos what its model predicts, where nobody
    says; without it that stays open.
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
    """A run that can begin. `recipe` holds every effective value: init, noun and size are final.

    But for the init "auto": then the photos choose the word once the model is loaded, and where
    `noun_follows` the noun with it. `sentences` are, for each photo, the training sentences with
    the trigger in place. `notes` are to be said before the run, `warnings` likewise and louder.
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
        """What a prompt says in place of the word: its noun, else the words it starts from."""
        return class_word(self.recipe, self.start)

    def _said_of_file(self) -> dict[str, str]:
        """What the user said that a model in one file predicts, if anything."""
        # What is found by trying may come between two parts of a run, and is no other setting.
        single = self.source.single
        told = single is not None and single.said_by_user
        return {"prediction": single.prediction} if single is not None and told else {}

    def identity(self) -> dict[str, Any]:
        """What must be the same for an unfinished run to be continued."""
        return {
            "token": self.token.text,
            "photos": [photo.sha256 for photo in self.photos.photos],
            "model": self.source.id,
            "fingerprint": self.fingerprint,
            **self._said_of_file(),
            "seed": self.seed,
            **self.recipe.as_json(),
            "texts": [list(texts) for texts in self.sentences],
            "noun_follows": self.noun_follows,
            "start": self.start.sha256 if self.start else "",
            "masked": [mask_digest(photo) for photo in self.photos.photos],
        }


def make_plan(request: Request, library: Library) -> Plan:
    """Check everything that needs no torch, in the order of what is cheapest to put right.

    Raises Usage, Conflict, NotFound, BadContent and ModelUnavailable.
    """
    token = parse_token(request.token)
    _check_free(token, request, library)
    source = locate(
        request.model, offline=request.offline, announce=request.announce, given=request.given
    )
    plan = _plan(request, library, token, source)
    if source.is_untold and request.find_prediction is not None:
        # A model's size is that of its prediction, and everything else follows its size.
        plan = _plan(request, library, token, request.find_prediction(plan))
    return plan


def _plan(request: Request, library: Library, token: Token, source: ModelSource) -> Plan:
    words = vocabulary(source)
    if {token.text, token.text.lower()} & words.keys():
        raise Usage(f"{token.text} is a word of {source.id} already", "choose another --token")
    recipe, start, notes = settle(request.recipe, source, words, (token, library))
    check_options(recipe, source, token, library, request.replace)
    found = find_photos(request.photos, request.stdin)
    photos, masked = _masked(load_photos(found, recipe.size), found, recipe)
    recipe, alone = settle_photo_words(recipe, len(photos.photos))
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
            *alone,
            *_caption_notes(captions),
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
    """The photos with the masks a recipe asks for, and what to say of them."""
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
        notes.append(f"the token was put in front of {captions.added} caption(s) that lacked it")
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
