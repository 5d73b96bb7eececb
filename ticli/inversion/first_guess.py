"""A first guess of a concept: rows that a CLIP finds, or the word that denoises its photos best."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import torch

from ticli.concept import WordLoss
from ticli.durable import write_file
from ticli.errors import BadContent, Diverged, Usage
from ticli.inversion.draws import Draw, fixed_draw, keyed_generator
from ticli.inversion.examples import Examples, Latents, spared_photo
from ticli.inversion.loss import draw_rule, plain_losses
from ticli.inversion.plan import Plan
from ticli.inversion.run_folder import INIT_WORDS, Run
from ticli.inversion.vectors import Vectors
from ticli.models.folder import find_tower
from ticli.models.model import ClipPair, Model, load_clip_pair
from ticli.photos.cropping import training_picture
from ticli.photos.sentences import nouns

# Sentences a step; the text encoder alone is run, so many cost little (QuickEmbedding's number).
BATCH = 32


def warm_start(model: Model, plan: Plan, vectors: Vectors, seed: int) -> None:
    """Move a concept's rows of one encoder to where a CLIP finds its photos (QuickEmbedding).

    Raises NotFound, ModelUnavailable, Conflict and Diverged.
    """
    tower = find_tower(model.source, plan.recipe.warm_start)
    approach(model, load_clip_pair(model, tower), plan, vectors, seed)


def approach(model: Model, pair: ClipPair, plan: Plan, vectors: Vectors, seed: int) -> list[float]:
    """Raise the mean cosine of sentences and photos by Adam; return the cosine of every step.

    The norm is held as in training.
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


SENTENCES = {
    "object": "a photo of a {}",
    "person": "a photo of a {}",
    "style": "a painting in the style of {}",
}
# Every candidate gets a few samples, the best of them more.
SCREENING_SAMPLES, FINAL_SAMPLES, FINALISTS = 2, 12, 16
REMEMBERED = 5


def choose_init(
    plan: Plan, run: Run, model: Model, latents: Latents, tell: Callable[[str], None]
) -> tuple[WordLoss, ...]:
    """The candidates whose sentences denoise the photos best, best first.

    They are kept in the run's folder, so that this is done once. Its noise is that of no training
    step. Raises Usage if the model reads no candidate as one token.
    """
    path = run.path / INIT_WORDS
    if path.exists():
        try:
            return tuple(WordLoss(**word) for word in json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise BadContent(
                f"the unfinished run's {path.name} is damaged: {error}", "start over with --fresh"
            ) from error
    words = candidates(plan, model)
    tell(f"choosing the word to start from among {len(words)} …")
    began = time.monotonic()
    best = _ranked(plan, model, latents, (words, SCREENING_SAMPLES))[:FINALISTS]
    found = _ranked(plan, model, latents, ([word.word for word in best], FINAL_SAMPLES))
    found = [WordLoss(word.word, float(f"{word.held_out:.6g}")) for word in found[:REMEMBERED]]
    others = ", ".join(f"{word.word} {word.held_out:.4f}" for word in found[1:])
    tell(
        f"starting from {found[0].word!r} (held-out loss {found[0].held_out:.4f}; next {others}), "
        f"chosen in {time.monotonic() - began:.0f} s"
    )
    write_file(path, json.dumps([asdict(word) for word in found]).encode(), replace=True)
    return tuple(found)


def settled_plan(plan: Plan, word: str) -> Plan:
    """The plan with its init word, which is its noun too if that follows."""
    recipe = replace(plan.recipe, init=word)
    if not plan.noun_follows:
        return replace(plan, recipe=recipe)
    recipe = replace(recipe, noun=word)
    token = plan.token.text
    sentences = tuple(
        tuple(text.replace(token, f"{token} {word}") for text in texts) for texts in plan.sentences
    )
    return replace(plan, recipe=recipe, sentences=sentences, noun_follows=False)


def candidates(plan: Plan, model: Model) -> list[str]:
    """The nouns of the plan's kind that every encoder reads as one token, likelier first."""
    known = [
        word
        for word in nouns(plan.recipe.kind)
        if all(
            len(encoder.tokenizer(word, add_special_tokens=False).input_ids) == 1
            for encoder in model.encoders
        )
    ]
    if not known:
        raise Usage(
            f"{plan.source.id} reads none of the words to choose from as one token",
            "name a word with --init WORD",
        )
    return known[: plan.recipe.init_candidates]


def _ranked(
    plan: Plan, model: Model, latents: Latents, trial: tuple[Sequence[str], int]
) -> list[WordLoss]:
    """Words by their mean loss over so many samples, lowest first."""
    words, samples = trial
    sentence = SENTENCES[plan.recipe.kind]
    prompts = [model.tokenise(sentence.format(word), {}) for word in words]
    examples = Examples(plan.token.name, latents, [prompts] * len(latents.mean))
    rule = draw_rule(model, examples, plan.recipe)
    drawn = _for_each(len(words), fixed_draw(rule, samples, keyed_generator(plan.seed, "init")))
    size = 2 * plan.recipe.batch
    losses = plain_losses(model, examples, Vectors({}, {}), drawn, size)
    means = losses.double().reshape(len(words), samples).mean(1).tolist()
    found = [WordLoss(*pair) for pair in zip(words, means, strict=True)]
    return sorted(found, key=lambda word: word.held_out)


def _for_each(words: int, drawn: Draw) -> Draw:
    """The same samples for every word, whose number is that of the sentence."""
    count = len(drawn.timesteps)

    def again(values: torch.Tensor) -> torch.Tensor:
        return values.repeat(words, *[1] * (values.dim() - 1))

    return Draw(
        photos=again(drawn.photos),
        mirrored=again(drawn.mirrored),
        sentences=torch.arange(words).repeat_interleave(count),
        timesteps=again(drawn.timesteps),
        spread=again(drawn.spread),
        noise=again(drawn.noise),
    )
