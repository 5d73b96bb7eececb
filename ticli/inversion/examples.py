"""What a run learns from: latents, the sentences each photo may be given, and what weighs them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load, save

from ticli.durable import write_file
from ticli.errors import BadContent, Usage
from ticli.inversion.context import Context, build_context
from ticli.inversion.draws import keyed_generator
from ticli.models.memory import out_of_memory
from ticli.models.model import Model
from ticli.models.text_encoder import Tokenised
from ticli.names import private_name, twin_name
from ticli.photos.cropping import other_mask, other_picture, training_mask, training_picture
from ticli.recipe import Recipe

if TYPE_CHECKING:
    from ticli.inversion.plan import Plan
    from ticli.inversion.run_folder import Run

# Photos as latents: encoded once, mean and spread kept, resampled every step.


@dataclass(frozen=True)
class Latents:
    """Scaled latent distributions, each (photos, 2, channels, height/8, width/8), float32.

    The second axis holds a photo and its mirror image.
    """

    mean: torch.Tensor
    spread: torch.Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of one latent."""
        height, width = self.mean.shape[-2:]
        return height, width

    def sample(
        self, photos: torch.Tensor, mirrored: torch.Tensor, normal: torch.Tensor
    ) -> torch.Tensor:
        """Draw latents for photo indices: mean + spread · normal, (batch, channels, h, w)."""
        sides = mirrored.long()
        return self.mean[photos, sides] + self.spread[photos, sides] * normal


def encode_photos(model: Model, pictures: Sequence[Image.Image]) -> Latents:
    """Encode square RGB pictures of one size, one at a time, in float32.

    Half precision overflows in some VAEs, so none is used. Where the device is out of memory the
    CPU encodes them. Raises BadContent where an encoding is not finite.
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


def save_latents(path: Path, latents: Latents) -> None:
    """Write a run's latents, durably."""
    write_tensors(path, {"mean": latents.mean, "spread": latents.spread}, {})


def load_latents(path: Path) -> Latents:
    """Read a run's latents. Raises BadContent where the file is damaged."""
    tensors = read_tensors(path)
    return Latents(tensors["mean"], tensors["spread"])


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, str]
) -> None:
    """Write tensors and facts about them as a safetensors file with a checksum, durably."""
    # Copied, since the format refuses tensors that share memory, as rows kept twice may.
    plain = {name: tensor.cpu().clone().contiguous() for name, tensor in tensors.items()}
    write_file(path, save(plain, {**facts, "sha256": _sum(plain)}), replace=True)


def read_tensors(path: Path) -> Tensors:
    """Read what write_tensors wrote. Raises BadContent where the file is damaged."""
    try:
        data = path.read_bytes()
        tensors: Tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        facts = json.loads(data[8 : 8 + length])["__metadata__"]
        if facts.pop("sha256") != _sum(tensors):
            raise ValueError("its checksum is wrong")
    except Exception as error:
        # safetensors raises a type of its own that derives from Exception alone.
        raise BadContent(
            f"the unfinished run's {path.name} is damaged: {error}", "start over with --fresh"
        ) from error
    return tensors


Tensors = dict[str, torch.Tensor]


def _sum(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


Prompt = Mapping[str, Tokenised]
Sentences = Sequence[Sequence[Prompt]]


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

    `sentences[photo]` are tokenised prompts that hold the placeholder of `concept`, `private` the
    same ones with the photo's own word. `earlier` are the stages before the concept has all
    its vectors, the first with one. `masks` (photos, 2, 1, height/8, width/8) weigh the loss in
    [0, 1], `min_snr` weighs it by timestep where it is not 0.
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
        """The examples while the concept has so many vectors; all of them in the end."""
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


def build_examples(
    model: Model,
    plan: Plan,
    photos: Sequence[int],
    latents: Latents,
    masks: torch.Tensor | None = None,
) -> Examples:
    """Tokenise all that a run will say of the plan's `photos`, of which the latents are.

    Raises Usage where a placeholder would be cut off.
    """
    recipe = plan.recipe
    texts = [plan.sentences[photo] for photo in photos]
    first = 1 if recipe.extend_every else recipe.vectors
    stages = [_stage(model, plan, texts, count) for count in range(first, recipe.vectors + 1)]
    *earlier, full = stages
    return Examples(
        plan.token.name,
        latents,
        full.sentences,
        full.private,
        full.context,
        earlier,
        masks,
        twin_of(model, plan) if recipe.negative_vectors else None,
        recipe.min_snr,
    )


def _stage(model: Model, plan: Plan, texts: Sequence[Sequence[str]], vectors: int) -> Stage:
    name = plan.token.name
    placeholders = {name: vectors}
    every = dict.fromkeys(text for choices in texts for text in choices)
    known = {text: whole(model, text, placeholders) for text in every}
    private: list[list[Prompt]] = []
    for photo, choices in enumerate(texts if plan.recipe.photo_words else ()):
        private.append(beside_own_word(model, choices, private_name(name, photo), placeholders))
    context = build_context(model, plan, vectors) if plan.recipe.context else None
    return Stage([[known[text] for text in choices] for choices in texts], private, context)


def beside_own_word(
    model: Model, texts: Sequence[str], own: str, placeholders: Mapping[str, int]
) -> list[Prompt]:
    """Sentences with a photo's own word besides, as in the paper's code. Raises Usage.

    What is the photo's alone goes into that word.
    """
    added = {**placeholders, own: 1}
    return [whole(model, f"{text} with <{own}>", added, spare="--photo-words 0") for text in texts]


def twin_of(model: Model, plan: Plan) -> Twin:
    """The prompt a concept is guided away from. Raises Usage where it would be cut off."""
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
    """Tokenise a sentence, all of whose placeholders must fit; `spare` makes room, too.

    Raises Usage.
    """
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


@dataclass(frozen=True)
class HeldOut:
    """Latents that are not trained on, the sentences of each with the concept's trigger, its mask.

    `masks` are as those of Examples, or None where the loss is not weighed. `own_words`: whether
    the sentences hold the words that are the photos' own, which are trained on in the same order.
    """

    latents: Latents
    sentences: Sequence[Sequence[str]]
    masks: torch.Tensor | None = None
    own_words: bool = False


# Masks of photos as weights on the grid of their latents.


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


# What a run learns from and what it is judged by: photos as latents, sentences as tokens.

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
