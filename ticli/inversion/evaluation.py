"""How good a concept is while it is learned, on one fixed batch that it is not trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ticli.inversion.context import DriftContext, context_of, drift
from ticli.inversion.draws import Draw, fixed_draw, keyed_generator
from ticli.inversion.examples import (
    Examples,
    PhotoLatents,
    Prompt,
    beside_own_word,
    held_out_masks,
    twin_of,
    whole,
)
from ticli.inversion.loss import (
    Inputs,
    alike,
    answer,
    draw_rule,
    guided,
    inputs,
    joined,
    masks_of,
    plain_losses,
    sample_losses,
)
from ticli.inversion.plan import Plan
from ticli.inversion.schedule import Evaluation
from ticli.inversion.vectors import Vectors, class_rows
from ticli.models.memory import with_less
from ticli.models.model import Model
from ticli.names import private_name
from ticli.recipe import Recipe

# What a sample costs here, of what it costs in a step: no way back, which is about as long as the
# way there where weights have no gradients.
FORWARD_SHARE = 1 / 2
MOST_TIME = 0.1
# Where neither the end of the run nor the vectors it keeps depend on the result.
LOOKING_TIME = 0.03
LEAST_INTERVAL = 5


@dataclass(frozen=True)
class Judge:
    """The fixed batch, the same from the first step to the last.

    `examples` hold the concept, the photos' own words and the twin it is guided away from, if any,
    `plain` the same sentences with the class word in its place; if there is none, the start's
    rows `stand_in` for it. `spared` is the index of the photo that is held out; None if other
    crops are.
    """

    model: Model
    examples: Examples
    plain: Examples
    stand_in: Vectors
    draw: Draw
    batch: int
    context: DriftContext
    spared: int | None

    def held_out(self, vectors: Vectors) -> float:
        """Mean denoising loss of the concept."""
        return held_out_loss(self.model, self.examples, vectors, self.draw, self.batch)

    def held_out_init(self, vectors: Vectors) -> float:
        """Mean denoising loss of the class word, or of the start if there is none.

        In the same sentences: the photos' own words are those beside the `vectors`.
        """
        instead = self.stand_in.beside(vectors)
        return held_out_loss(self.model, self.plain, instead, self.draw, self.batch)


def make_judge(model: Model, plan: Plan, photos: PhotoLatents, vectors: Vectors) -> Judge:
    """Fix what a plan's concept is judged by; `vectors` stand at their start and stay there.

    Raises Usage if a sentence held out is too long for its placeholder.
    """
    name, recipe = plan.token.name, plan.recipe
    phrase = plan.class_word
    count = {name: recipe.vectors}
    # A photo that is not trained on has no word of its own; another crop has its photo's.
    own_words = bool(recipe.photo_words) and photos.spared is None
    texts = [plan.sentences[photo] for photo in photos.judged]

    def worded(texts: Sequence[Sequence[str]], placeholders: Mapping[str, int]) -> Examples:
        private: list[list[Prompt]] = []
        for photo, own in enumerate(texts if own_words else ()):
            private.append(beside_own_word(model, own, private_name(name, photo), placeholders))
        sentences = [[whole(model, text, placeholders) for text in own] for own in texts]
        return replace(bare, sentences=sentences, private=private)

    twin = twin_of(model, plan) if recipe.negative_vectors else None
    bare = Examples(name, photos.held, (), masks=held_out_masks(plan, photos), twin=twin)
    examples = plain = worded(texts, count)
    rows = vectors.start
    if phrase is not None:
        # In place of the concept, and of the class word that follows it.
        said = [
            [text.replace(plan.trigger, phrase).replace(plan.token.text, phrase) for text in own]
            for own in texts
        ]
        plain = worded(said, {})
        rows = class_rows(model, phrase, recipe.vectors)
    return Judge(
        model=model,
        examples=examples,
        plain=plain,
        stand_in=vectors,
        draw=evaluation_draw(model, examples, recipe, plan.seed),
        batch=recipe.batch,
        context=context_of(model, plan.trigger, count, {name: rows}),
        spared=photos.spared,
    )


def evaluation_draw(model: Model, examples: Examples, recipe: Recipe, seed: int) -> Draw:
    """Noise, sentences and timesteps of the fixed batch, from a key that no step draws with."""
    rule = draw_rule(model, examples, recipe)
    drawn = fixed_draw(rule, recipe.evaluation_timesteps, keyed_generator(seed, "evaluation"))
    own = torch.ones(len(drawn.timesteps), dtype=torch.bool) if examples.private else None
    return replace(drawn, private=own)


def held_out_loss(
    model: Model, examples: Examples, vectors: Vectors, drawn: Draw, batch: int
) -> float:
    """Mean denoising loss over a whole draw, `batch` samples at a time, without gradients."""
    return float(plain_losses(model, examples, vectors, drawn, batch).double().mean())


def evaluation_interval(recipe: Recipe) -> int:
    """Steps between evaluations: the recipe's, or so many that they cost a tenth of the steps.

    Where nothing hangs on them they cost a thirtieth.
    """
    if recipe.evaluate_every:
        return recipe.evaluate_every
    decides = recipe.stop == "auto" or recipe.keep == "best" or recipe.restarts > 1
    share = MOST_TIME if decides else LOOKING_TIME
    cost = recipe.evaluation_timesteps * FORWARD_SHARE
    return max(LEAST_INTERVAL, math.ceil(cost / (recipe.batch * recipe.accumulate * share)))


# One concept's judge, the vectors to evaluate, and the step they come after.
Trial = tuple[Judge, Vectors, int]


def evaluate(model: Model, trials: Sequence[Trial]) -> list[Evaluation]:
    """Evaluate concepts side by side: their held-out samples go through the denoiser together."""
    batch = sum(judge.batch for judge, _, _ in trials)
    losses = with_less(model, batch, lambda: _held_out(model, trials))
    return [
        Evaluation(step, loss, drift(model, judge.context, {judge.examples.concept: vectors.rows}))
        for (judge, vectors, step), loss in zip(trials, losses, strict=True)
    ]


def _held_out(model: Model, trials: Sequence[Trial]) -> list[float]:
    """The mean denoising loss of every concept, without gradients."""
    if model.savings.samples or len(trials) == 1:
        # Alone, or where memory holds only a part of one concept's batch.
        return [judge.held_out(vectors) for judge, vectors, _ in trials]
    losses: list[list[Tensor]] = [[] for _ in trials]
    with torch.no_grad(), model.encoders_at_hand():
        shapes = {at: tuple(judge.draw.noise.shape[1:]) for at, (judge, _, _) in enumerate(trials)}
        for places in alike(shapes):
            _add_losses(model, trials, places, losses)
    return [float(torch.cat(own).double().mean()) for own in losses]


def _add_losses(
    model: Model, trials: Sequence[Trial], places: list[int], losses: list[list[Tensor]]
) -> None:
    """Add the losses of the trials at `places`, batch by batch, until their draws end."""
    number = 0
    while True:
        given: dict[int, tuple[slice, Inputs]] = {}
        for at in places:
            judge, vectors, _ = trials[at]
            part = slice(number * judge.batch, (number + 1) * judge.batch)
            if part.start < len(judge.draw.timesteps):
                given[at] = part, inputs(model, judge.examples, vectors, judge.draw, part)
        if not given:
            return
        answered = answer(model, joined([own for _, own in given.values()]))
        sizes = [len(own.z_t) for _, own in given.values()]
        for (at, (part, own)), answers in zip(
            given.items(), torch.split(answered, sizes), strict=True
        ):
            judge = trials[at][0]
            masks = masks_of(model, judge.examples, judge.draw, part)
            predicted = guided(own.guidance, answers)
            losses[at].append(sample_losses(predicted, own.target, masks).cpu())
        number += 1
