"""A first guess of a word from a CLIP alone: where its sentences and photos agree most."""

from __future__ import annotations

import math

import torch

from ticli.errors import Diverged
from ticli.inversion.draws import keyed_generator
from ticli.inversion.plan import Plan
from ticli.inversion.preparing import spared_photo
from ticli.inversion.vectors import Vectors
from ticli.models.clip_pair import ClipPair, load_clip_pair
from ticli.models.image_towers import find_tower
from ticli.models.model import Model
from ticli.photos.cropping import training_picture

# Sentences a step; the text encoder alone is run, so many cost little (QuickEmbedding's number).
BATCH = 32


def warm_start(model: Model, plan: Plan, vectors: Vectors, seed: int) -> None:
    """Move a word's rows of one encoder to where a CLIP finds its photos (QuickEmbedding).

    No denoiser takes part. Raises NotFound, ModelUnavailable, Conflict and Diverged.
    """
    tower = find_tower(model.source, plan.recipe.warm_start)
    approach(model, load_clip_pair(model, tower), plan, vectors, seed)


def approach(model: Model, pair: ClipPair, plan: Plan, vectors: Vectors, seed: int) -> list[float]:
    """Raise the mean cosine of sentences and photos by Adam; the cosine of every step.

    Photos are encoded once. The norm is kept as it is kept in training.
    """
    recipe, key, name = plan.recipe, pair.encoder.key, plan.token.name
    row = vectors.rows[key]
    learned = [n for n in range(len(plan.photos.photos)) if n != spared_photo(plan)]
    photos = pair.pictures(
        [training_picture(plan.photos.photos[n], pair.tower.size) for n in learned]
    )
    prompts = [
        [model.tokenise(text, {name: recipe.vectors})[key] for text in plan.sentences[n]]
        for n in learned
    ]
    optimizer = torch.optim.AdamW([row], lr=recipe.warm_lr, weight_decay=0.0, foreach=False)
    cosines: list[float] = []
    for step in range(recipe.warm_steps):
        generator = keyed_generator(seed, "warm start", step)
        picked = torch.randint(len(prompts), (BATCH,), generator=generator).tolist()
        share = torch.rand(BATCH, generator=generator).tolist()
        batch = [prompts[p][int(s * len(prompts[p]))] for p, s in zip(picked, share, strict=True)]
        texts = pair.texts(batch, {name: {key: row}})
        cosine = (texts * photos[picked]).sum(1).mean()
        optimizer.zero_grad(set_to_none=True)
        (-cosine).backward()  # type: ignore[no-untyped-call]
        cosines.append(float(cosine.detach()))
        if not math.isfinite(cosines[-1]):
            raise Diverged(f"the warm start diverged at step {step + 1}", "use a lower --warm-lr")
        optimizer.step()
        vectors.hold()
    row.grad = None
    return cosines
