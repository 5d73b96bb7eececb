"""What a run learns from: the photos as latents, their sentences as tokens, masks as weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from ticli.errors import BadContent, Usage
from ticli.inversion.context import Context, build_context
from ticli.inversion.draws import keyed_generator
from ticli.inversion.run_folder import HELD_OUT, LATENTS, read_tensors, write_tensors
from ticli.models.memory import out_of_memory
from ticli.models.model import Model
from ticli.models.text_encoder import Tokenised
from ticli.names import private_name, twin_name
from ticli.photos.cropping import other_mask, other_picture, training_mask, training_picture
from ticli.recipe import Recipe

if TYPE_CHECKING:
    from ticli.inversion.plan import Plan
    from ticli.inversion.run_folder import Run

# With fewer photos each is needed: about five are best to learn from (2208.01618, appendix B).
FEWEST_TO_SPARE_ONE = 4

Prompt = Mapping[str, Tokenised]
Sentences = Sequence[Sequence[Prompt]]


@dataclass(frozen=True)
class Latents:
    """Scaled latent distributions, each (photos, 2, channels, height/8, width/8), float32.

    The second axis holds a photo and its mirror image.
    """

    mean: torch.Tensor
    spread: torch.Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of a latent."""
        height, width = self.mean.shape[-2:]
        return height, width

    def sample(
        self, photos: torch.Tensor, mirrored: torch.Tensor, normal: torch.Tensor
    ) -> torch.Tensor:
        """Draw latents for photo indices: mean + spread · normal, (batch, channels, h, w)."""
        sides = mirrored.long()
        return self.mean[photos, sides] + self.spread[photos, sides] * normal


def encode_photos(model: Model, pictures: Sequence[Image.Image]) -> Latents:
    """Encode square RGB pictures of one size, one at a time.

    In float32, because half precision overflows in some VAEs; on the CPU if the device is out of
    memory. Raises BadContent if an encoding is not finite.
    """
    try:
        latents = _encode(model, pictures, model.device)
    except RuntimeError as error:
        if model.device.type == "cpu" or not out_of_memory(error):
            raise
        latents = None
    if latents is None:
        model.note_given_up(f"{model.device} is out of memory: photos are encoded on the CPU")
        latents = _encode(model, pictures, torch.device("cpu"))
    if not (latents.mean.isfinite().all() and latents.spread.isfinite().all()):
        raise BadContent(
            f"the VAE of {model.source.id} turns a photo into numbers that are not finite",
            "try another --size, or another model",
        )
    return latents


def _encode(model: Model, pictures: Sequence[Image.Image], device: torch.device) -> Latents:
    means, spreads = [], []
    with model.vae(device) as vae, torch.no_grad():
        for picture in pictures:
            pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32).copy())
            pixels = (pixels / 127.5 - 1).permute(2, 0, 1)
            both = torch.stack([pixels, pixels.flip(-1)]).to(vae.device)
            mean, spread = model.encode(vae, both)
            means.append(mean.cpu())
            spreads.append(spread.cpu())
    return Latents(torch.stack(means).contiguous(), torch.stack(spreads).contiguous())


@dataclass(frozen=True)
class PhotoLatents:
    """The latents to learn from and those held out, each with the indices of its photos.

    `spared` is the index of the photo that is held out; None if other crops are.
    """

    learned: Latents
    trained: Sequence[int]
    held: Latents
    judged: Sequence[int]
    spared: int | None


@dataclass(frozen=True)
class Twin:
    """The negative twin's prompt, and how strongly a prediction is guided away from it."""

    prompt: Prompt
    guidance: float


@dataclass(frozen=True)
class Stage:
    """The texts of a run while its concept has a certain number of vectors."""

    sentences: Sentences
    private: Sentences = ()
    context: Context | None = None


@dataclass(frozen=True)
class Examples:
    """What a run learns from.

    `sentences[photo]` are tokenised prompts with the placeholder of `concept`, `private` the same
    ones with the photo's own word. `earlier` are the stages before the concept has all its vectors,
    the first with one. `masks` (photos, 2, 1, height/8, width/8) weigh the loss in [0, 1];
    `min_snr` weighs it by timestep unless it is 0.
    """

    concept: str
    latents: Latents
    sentences: Sentences
    private: Sentences = ()
    context: Context | None = None
    earlier: Sequence[Stage] = ()
    masks: torch.Tensor | None = None
    twin: Twin | None = None
    min_snr: float = 0.0

    def at(self, vectors: int) -> Examples:
        """The examples while the concept has so many vectors."""
        if vectors > len(self.earlier):
            return self
        stage = self.earlier[vectors - 1]
        return replace(
            self, sentences=stage.sentences, private=stage.private, context=stage.context
        )

    def prompt(self, photo: int, number: int, private: bool = False) -> Prompt:
        """The sentence a draw picked for a photo; numbers wrap around."""
        choices = (self.private if private else self.sentences)[photo]
        return choices[number % len(choices)]


def build_examples(model: Model, plan: Plan, photos: PhotoLatents) -> Examples:
    """Tokenise the sentences of the photos that are trained on, and weigh their masks.

    Raises Usage if a placeholder would be cut off.
    """
    recipe = plan.recipe
    texts = [plan.sentences[photo] for photo in photos.trained]
    first = 1 if recipe.extend_every else recipe.vectors
    stages = [_stage(model, plan, texts, count) for count in range(first, recipe.vectors + 1)]
    *earlier, full = stages
    masks = None
    if recipe.masks:
        trained = [plan.photos.photos[photo] for photo in photos.trained]
        masks = [training_mask(photo, recipe.size) for photo in trained]
    return Examples(
        plan.token.name,
        photos.learned,
        full.sentences,
        full.private,
        full.context,
        earlier,
        None if masks is None else mask_weights(masks, recipe, photos.learned.grid),
        twin_of(model, plan) if recipe.negative_vectors else None,
        recipe.min_snr,
    )


def _stage(model: Model, plan: Plan, texts: Sequence[Sequence[str]], vectors: int) -> Stage:
    name = plan.token.name
    placeholders = {name: vectors}
    every = dict.fromkeys(text for choices in texts for text in choices)
    known = {text: whole(model, text, placeholders) for text in every}
    private = [
        beside_own_word(model, choices, private_name(name, photo), placeholders)
        for photo, choices in enumerate(texts if plan.recipe.photo_words else ())
    ]
    context = build_context(model, plan, vectors) if plan.recipe.context else None
    return Stage([[known[text] for text in choices] for choices in texts], private, context)


def beside_own_word(
    model: Model, texts: Sequence[str], own: str, placeholders: Mapping[str, int]
) -> list[Prompt]:
    """Add a photo's own word to its sentences, to take up what is the photo's alone.

    As in the paper's code. Raises Usage.
    """
    added = {**placeholders, own: 1}
    return [whole(model, f"{text} with <{own}>", added, spare="--photo-words 0") for text in texts]


def twin_of(model: Model, plan: Plan) -> Twin:
    """The prompt a concept is guided away from. Raises Usage if it would be cut off."""
    name = twin_name(plan.token.name)
    prompt = whole(model, f"<{name}>", {name: plan.recipe.negative_vectors}, negative=True)
    return Twin(prompt, plan.recipe.negative_guidance)


def whole(
    model: Model,
    text: str,
    placeholders: Mapping[str, int],
    *,
    negative: bool = False,
    spare: str = "fewer --vectors",
) -> Prompt:
    """Tokenise a sentence; `spare` is what makes room. Raises Usage if a placeholder is cut off."""
    prompt = model.tokenise(text, placeholders, negative=negative)
    for key, tokenised in prompt.items():
        if tokenised.lost:
            words = " and ".join(f"<{name}>" for name in tokenised.lost)
            raise Usage(
                f"{words} would be cut off from {text!r}: {model.source.id} reads "
                f"{model.source.room(key)} tokens",
                f"shorten the sentence or caption, or use {spare}",
            )
    return prompt


def mask_weights(
    masks: Sequence[Image.Image], recipe: Recipe, grid: tuple[int, int]
) -> torch.Tensor:
    """Weights in [0, 1] of each latent of a picture and its mirror image, (pictures, 2, 1, *grid).

    m is the share of a latent's pixels that a mask, of levels of grey, leaves, and the weight
    b + (1 − b)·m^τ with the recipe's background b and temperature τ.
    """
    height, width = grid
    weights = []
    for mask in masks:
        small = mask.resize((width, height), Image.Resampling.BOX)
        share = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)
        background = recipe.mask_background
        weight = background + (1 - background) * share**recipe.mask_temperature
        weights.append(torch.stack([weight, weight.flip(-1)])[:, None])
    return torch.stack(weights)


def held_out_masks(plan: Plan, photos: PhotoLatents) -> torch.Tensor | None:
    """The weights of what is held out, as mask_weights gives them; None if the recipe has none."""
    every, size = plan.photos.photos, plan.recipe.size
    if not plan.recipe.masks:
        return None
    if photos.spared is not None:
        masks = [training_mask(every[photos.spared], size)]
    else:
        masks = [other_mask(every[photo], size, photo) for photo in photos.judged]
        # A crop may miss a subject in a corner; then all that it shows counts.
        masks = [mask if mask.getbbox() else Image.new("L", mask.size, 255) for mask in masks]
    return mask_weights(masks, plan.recipe, photos.learned.grid)


def encode(plan: Plan, run: Run, model: Model) -> PhotoLatents:
    """Encode a plan's photos, or read their latents from the run's folder. Raises BadContent.

    A photo is held out if the recipe says so and there are four or more; otherwise another crop of
    as many photos as an evaluation has samples.
    """
    spared, crops = spared_photo(plan), _crops(plan)
    if _is_encoded(run, crops):
        latents = Latents(**read_tensors(run.path / LATENTS))
        others = Latents(**read_tensors(run.path / HELD_OUT)) if crops else None
    else:
        latents, others = _keep(plan, run, encode_photos(model, _pictures(plan, crops)))
    every = range(len(plan.photos.photos))
    trained = [photo for photo in every if photo != spared]
    judged = list(every)[:crops] if spared is None else [spared]
    held = pick(latents, judged) if others is None else others
    return PhotoLatents(pick(latents, trained), trained, held, judged, spared)


def encode_ahead(model: Model, runs: Sequence[tuple[Plan, Run]]) -> None:
    """Encode the photos of several runs into their folders, loading the VAE once for each size."""
    sizes: dict[int, list[tuple[Plan, Run]]] = {}
    for plan, run in runs:
        if not _is_encoded(run, _crops(plan)):
            sizes.setdefault(plan.recipe.size, []).append((plan, run))
    for group in sizes.values():
        pictures = [_pictures(plan, _crops(plan)) for plan, _ in group]
        try:
            encoded = encode_photos(model, [picture for own in pictures for picture in own])
        except BadContent:
            # The run of the photo at fault encodes it again and says so.
            continue
        begin = 0
        for (plan, run), own in zip(group, pictures, strict=True):
            _keep(plan, run, pick(encoded, range(begin, begin + len(own))))
            begin += len(own)


def spared_photo(plan: Plan) -> int | None:
    """The index of the photo that is held out, drawn from the plan's seed; None for none."""
    count = len(plan.photos.photos)
    if plan.recipe.hold_out == "never" or count < FEWEST_TO_SPARE_ONE:
        return None
    return int(torch.randint(count, (1,), generator=keyed_generator(plan.seed, "hold out")))


def trained_photos(plan: Plan) -> int:
    """How many photos a plan trains on."""
    return len(plan.photos.photos) - (spared_photo(plan) is not None)


def pick(latents: Latents, photos: Sequence[int]) -> Latents:
    """The latents of some photos, in that order."""
    return Latents(latents.mean[list(photos)], latents.spread[list(photos)])


def _crops(plan: Plan) -> int:
    """How many photos are cropped a second time: no more than an evaluation has samples."""
    if spared_photo(plan) is not None:
        return 0
    return min(len(plan.photos.photos), plan.recipe.evaluation_timesteps)


def _is_encoded(run: Run, crops: int) -> bool:
    return (run.path / LATENTS).exists() and (not crops or (run.path / HELD_OUT).exists())


def _pictures(plan: Plan, crops: int) -> list[Image.Image]:
    """Every photo as it is trained on, then another crop of the first few."""
    photos, size = plan.photos.photos, plan.recipe.size
    pictures = [training_picture(photo, size) for photo in photos]
    return pictures + [other_picture(photo, size, k) for k, photo in enumerate(photos[:crops])]


def _keep(plan: Plan, run: Run, encoded: Latents) -> tuple[Latents, Latents | None]:
    """Write the latents of a plan's pictures into the run's folder, those of other crops apart."""
    count, every = len(plan.photos.photos), len(encoded.mean)
    latents = pick(encoded, range(count))
    others = pick(encoded, range(count, every)) if every > count else None
    for name, part in ((LATENTS, latents), (HELD_OUT, others)):
        if part is not None:
            write_tensors(run.path / name, {"mean": part.mean, "spread": part.spread}, {})
    return latents, others
