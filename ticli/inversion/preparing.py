"""What a run learns from and what it is judged by: photos as latents, sentences as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from PIL import Image

from ticli.errors import BadContent
from ticli.inversion.draws import keyed_generator
from ticli.inversion.examples import Examples, HeldOut, build_examples
from ticli.inversion.latents import Latents, encode_photos, load_latents, save_latents
from ticli.inversion.masking import mask_weights
from ticli.inversion.plan import Plan
from ticli.inversion.runs import Run
from ticli.models.model import Model
from ticli.photos.cropping import training_mask, training_picture
from ticli.photos.other_crops import other_mask, other_picture

# With fewer photos each is needed: about five are best to learn from (2208.01618, appendix B).
FEWEST_TO_SPARE_ONE = 4


@dataclass(frozen=True)
class Encoded:
    """Latents to learn from and to judge by, with the indices of their photos."""

    learned: Latents
    trained: Sequence[int]
    held: Latents
    judged: Sequence[int]
    spared: int | None


@dataclass(frozen=True)
class Prepared:
    """The examples to train on and those held out; `photo` is the index of the one spared."""

    examples: Examples
    held_out: HeldOut
    photo: int | None


def encode(plan: Plan, run: Run, model: Model) -> Encoded:
    """Encode a plan's photos, or read what the run's folder holds of them. Raises BadContent.

    Held out is a photo where the recipe says so and there are four or more, else another crop of
    as many photos as an evaluation has samples.
    """
    spared = spared_photo(plan)
    latents, others = _latents(plan, run, model)
    every = range(len(plan.photos.photos))
    trained = [photo for photo in every if photo != spared]
    judged = [spared] if spared is not None else list(every)[: _crops(plan)]
    held = pick(latents, judged) if others is None else others
    return Encoded(pick(latents, trained), trained, held, judged, spared)


def encode_ahead(model: Model, runs: Sequence[tuple[Plan, Run]]) -> None:
    """Encode the photos of several runs into their folders, with the VAE loaded once a size.

    Runs that have theirs are left alone.
    """
    sizes: dict[int, list[tuple[Plan, Run]]] = {}
    for plan, run in runs:
        if not _is_encoded(run, _crops(plan)):
            sizes.setdefault(plan.recipe.size, []).append((plan, run))
    for group in sizes.values():
        pictures = [_pictures(plan, _crops(plan)) for plan, _ in group]
        try:
            encoded = encode_photos(model, [picture for own in pictures for picture in own])
        except BadContent:
            # One of the photos: the run it belongs to finds that out by itself, and says so.
            continue
        begin = 0
        for (plan, run), own in zip(group, pictures, strict=True):
            _keep(plan, run, pick(encoded, range(begin, begin + len(own))))
            begin += len(own)


def prepare_examples(plan: Plan, model: Model, encoded: Encoded) -> Prepared:
    """Join a plan's photos with its sentences, apart what is held out.

    Raises Usage where a sentence is too long for its placeholder.
    """
    recipe, photos = plan.recipe, [plan.photos.photos[photo] for photo in encoded.trained]
    learned = encoded.learned
    masks, held_masks = None, None
    if recipe.masks:
        masks = mask_weights([training_mask(p, recipe.size) for p in photos], recipe, learned.grid)
        held_masks = mask_weights(_held_masks(plan, encoded), recipe, learned.grid)
    examples = build_examples(model, plan, encoded.trained, learned, masks)
    sentences = [plan.sentences[photo] for photo in encoded.judged]
    # A photo that is not trained on has no word of its own; another crop has its photo's.
    own = bool(recipe.photo_words) and encoded.spared is None
    return Prepared(examples, HeldOut(encoded.held, sentences, held_masks, own), encoded.spared)


def _held_masks(plan: Plan, encoded: Encoded) -> list[Image.Image]:
    """The masks of what is held out: of the photo that is spared, or of the other crops."""
    photos, size = plan.photos.photos, plan.recipe.size
    if encoded.spared is not None:
        return [training_mask(photos[encoded.spared], size)]
    masks = [other_mask(photos[photo], size, photo) for photo in encoded.judged]
    # A crop may miss a subject in a corner; then it is judged by all that it shows.
    return [mask if mask.getbbox() else Image.new("L", mask.size, 255) for mask in masks]


def spared_photo(plan: Plan) -> int | None:
    """The index of the photo that a plan keeps to judge by, drawn from its seed; None for none."""
    count = len(plan.photos.photos)
    if plan.recipe.hold_out == "never" or count < FEWEST_TO_SPARE_ONE:
        return None
    return int(torch.randint(count, (1,), generator=keyed_generator(plan.seed, "hold out")))


def trained_photos(plan: Plan) -> int:
    """How many photos a plan trains on."""
    return len(plan.photos.photos) - (spared_photo(plan) is not None)


def pick(latents: Latents, photos: Sequence[int]) -> Latents:
    """The latents of some photos, in that order."""
    parts = {field.name: getattr(latents, field.name) for field in fields(latents)}
    tensors = {k: v[list(photos)] for k, v in parts.items() if isinstance(v, torch.Tensor)}
    return replace(latents, **tensors)


def _crops(plan: Plan) -> int:
    """How many photos are cropped a second time: more than samples would never be seen."""
    if spared_photo(plan) is not None:
        return 0
    return min(len(plan.photos.photos), plan.recipe.evaluation_timesteps)


def _latents(plan: Plan, run: Run, model: Model) -> tuple[Latents, Latents | None]:
    """The photos' latents and their other crops': from the run's folder, else encoded now."""
    crops = _crops(plan)
    if _is_encoded(run, crops):
        return load_latents(run.latents), load_latents(run.held_out) if crops else None
    return _keep(plan, run, encode_photos(model, _pictures(plan, crops)))


def _is_encoded(run: Run, crops: int) -> bool:
    return run.latents.exists() and (not crops or run.held_out.exists())


def _pictures(plan: Plan, crops: int) -> list[Image.Image]:
    """Every photo as it is trained on, then the first few cropped otherwise."""
    photos, size = plan.photos.photos, plan.recipe.size
    pictures = [training_picture(photo, size) for photo in photos]
    return pictures + [other_picture(photo, size, k) for k, photo in enumerate(photos[:crops])]


def _keep(plan: Plan, run: Run, encoded: Latents) -> tuple[Latents, Latents | None]:
    """Write the latents of a plan's pictures into the run's folder, those of other crops apart."""
    count, every = len(plan.photos.photos), len(encoded.mean)
    latents = pick(encoded, range(count))
    others = pick(encoded, range(count, every)) if every > count else None
    save_latents(run.latents, latents)
    if others is not None:
        save_latents(run.held_out, others)
    return latents, others
