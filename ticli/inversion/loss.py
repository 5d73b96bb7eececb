"""The loss of textual inversion: the model's own denoising error (Gal et al. 2022, eq. 2)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ticli.families.family import Conditioning
from ticli.inversion.draws import Draw, DrawRule
from ticli.inversion.state import TrainingState
from ticli.inversion.vectors import Vectors
from ticli.models.memory import with_less
from ticli.models.model import Model, Rows
from ticli.recipe import Recipe

if TYPE_CHECKING:
    from ticli.inversion.examples import Examples, Prompt


@dataclass(frozen=True)
class Inputs:
    """What the denoiser is given: noised latents, timesteps, and prompts yet to be encoded.

    `words` are the trainable rows by placeholder and encoder, `target` is what to predict. With a
    `guidance`, `z_t`, `t` and `prompts` hold each sample twice, the negative twin's last.
    """

    z_t: torch.Tensor
    t: torch.Tensor
    prompts: Sequence[Prompt]
    words: Rows
    target: torch.Tensor
    guidance: float | None = None


Weights = torch.Tensor | None


def weights_of(
    model: Model, examples: Examples, draw: Draw, part: slice
) -> tuple[Weights, Weights]:
    """The masks (batch, 1, h, w) and min-SNR weights (batch,) of samples, if any, on the device."""
    weights = None
    if examples.min_snr:
        weights = snr_weights(model, draw.timesteps[part], examples.min_snr).to(model.device)
    return masks_of(model, examples, draw, part), weights


def masks_of(model: Model, examples: Examples, draw: Draw, part: slice) -> Weights:
    """The masks of samples, if any: (batch, 1, h, w) on the device."""
    if examples.masks is None:
        return None
    masks = examples.masks[draw.photos[part], draw.mirrored[part].long()]
    return masks.to(model.device, torch.float32)


def weighed_loss(
    prediction: torch.Tensor, target: torch.Tensor, masks: Weights, weights: Weights
) -> torch.Tensor:
    """Mean over samples of |target − prediction(z_t, t, c(v*))|², a float32 scalar.

    Masks weigh it within a picture, and min-SNR between timesteps.
    """
    if masks is None and weights is None:
        return torch.nn.functional.mse_loss(prediction, target)
    losses = sample_losses(prediction, target, masks)
    return (losses if weights is None else losses * weights).mean()


def denoising_losses(
    model: Model, examples: Examples, vectors: Vectors, draw: Draw, part: slice
) -> torch.Tensor:
    """|target − prediction(z_t, t, c(v*))|² of each sample in `part`, (batch,) float32."""
    prediction, target = predict(model, examples, vectors, draw, part)
    return sample_losses(prediction, target, masks_of(model, examples, draw, part))


def sample_losses(
    prediction: torch.Tensor, target: torch.Tensor, masks: Weights = None
) -> torch.Tensor:
    """|target − prediction|² of each sample, its mean over the sample's values: (batch,).

    Masks (batch, 1, h, w) weigh the mean by their own sum, so that a small subject counts as much
    as a large one.
    """
    errors = (prediction - target).square()
    if masks is None:
        return errors.flatten(1).mean(1)
    weights = masks.expand_as(errors).flatten(1)
    return (errors.flatten(1) * weights).sum(1) / weights.sum(1)


def snr_weights(model: Model, timesteps: torch.Tensor, gamma: float) -> torch.Tensor:
    """Min-SNR-γ weights of timesteps, (batch,) float32 (2303.09556).

    SNR = ᾱ / (1 − ᾱ). The noise's error is weighed by min(SNR, γ) / SNR, the velocity's by
    min(SNR, γ) / (SNR + 1), so that either counts as min(SNR, γ) times the photo's own error.
    """
    schedule = model.noise_schedule
    alphas: torch.Tensor = schedule.alphas_cumprod[timesteps.cpu()].float()
    snr = alphas / (1 - alphas)
    velocity = schedule.config.prediction_type == "v_prediction"
    return snr.clamp(max=gamma) / (snr + 1 if velocity else snr)


def inputs(model: Model, examples: Examples, vectors: Vectors, draw: Draw, part: slice) -> Inputs:
    """What the denoiser is given for the samples in `part` of a draw."""
    device = model.device
    z = examples.latents.sample(draw.photos[part], draw.mirrored[part], draw.spread[part])
    z, eps = z.to(device), draw.noise[part].to(device)
    t = draw.timesteps[part].to(device)
    own = draw.private[part].tolist() if draw.private is not None else [False] * len(t)
    prompts = [
        examples.prompt(int(photo), int(number), private)
        for photo, number, private in zip(draw.photos[part], draw.sentences[part], own, strict=True)
    ]
    z_t, target = model.add_noise(z, eps, t), model.target(z, eps, t)
    words = vectors.words(examples.concept)
    if examples.twin is None:
        return Inputs(z_t, t, prompts, words, target)
    prompts += [examples.twin.prompt] * len(prompts)
    guidance = examples.twin.guidance
    return Inputs(torch.cat([z_t, z_t]), torch.cat([t, t]), prompts, words, target, guidance)


def joined(parts: Sequence[Inputs]) -> Inputs:
    """The inputs of several concepts as one batch, in their order; latents must be of one shape.

    Samples are independent and the denoiser is frozen, so each concept's gradient is what it would
    be alone. Guidance is applied to each concept's part of the answer.
    """
    if len(parts) == 1:
        return parts[0]
    return Inputs(
        torch.cat([part.z_t for part in parts]),
        torch.cat([part.t for part in parts]),
        [prompt for part in parts for prompt in part.prompts],
        {name: rows for part in parts for name, rows in part.words.items()},
        torch.cat([part.target for part in parts]),
    )


def answer(model: Model, given: Inputs) -> torch.Tensor:
    """What the denoiser answers, float32 of the shape of `z_t`."""
    return model.denoise(given.z_t, given.t, model.condition(given.prompts, given.words))


def guided(guidance: float | None, answered: torch.Tensor) -> torch.Tensor:
    """The prediction to compare with the target: the answer, guided away from the twin's if any.

    Classifier-free guidance inside the loss (DreamArtist, 2211.11337): ê = e⁻ + g · (e⁺ − e⁻).
    """
    if guidance is None:
        return answered
    positive, negative = answered.chunk(2)
    return negative + guidance * (positive - negative)


def predict(
    model: Model, examples: Examples, vectors: Vectors, draw: Draw, part: slice
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the denoiser predicts for noised photos, and what it should, both as latents."""
    given = inputs(model, examples, vectors, draw, part)
    return guided(given.guidance, answer(model, given)), given.target


@dataclass(frozen=True)
class Learner:
    """What a concept's steps need: its state, what it learns from, what the steps are drawn from.

    `limits` are the largest norms of its vectors by encoder.
    """

    examples: Examples
    state: TrainingState
    recipe: Recipe
    seed: int
    rule: DrawRule
    limits: Mapping[str, float]


@dataclass(frozen=True)
class Share:
    """One learner's samples in a batch, and what the denoiser is given for them.

    `examples` are those of the learner's stage, `samples` all that its step draws, `part` those in
    this batch. `weight` is their share of the samples that the loss is the mean of.
    """

    learner: Learner
    examples: Examples
    samples: Draw
    part: slice
    given: Inputs
    weight: float = 1.0


def share_of(
    model: Model,
    drawn: tuple[Learner, Examples, Draw],
    part: slice,
    weight: float = 1.0,
) -> Share:
    """Some of the samples that a learner's step draws."""
    learner, examples, samples = drawn
    given = inputs(model, examples, learner.state.vectors, samples, part)
    return Share(learner, examples, samples, part, given, weight)


def batch_losses(
    model: Model, shares: Sequence[Share], conditioning: Conditioning | None = None
) -> list[torch.Tensor]:
    """Each share's part of its step's loss, from one call of the denoiser for all of them.

    Prompts are encoded unless their `conditioning` is given.
    """
    given = joined([share.given for share in shares])
    conditioning = conditioning or model.condition(given.prompts, given.words)
    weights = [weights_of(model, share.examples, share.samples, share.part) for share in shares]
    return losses_of(
        model.denoise(given.z_t, given.t, conditioning),
        [part_of(share) for share in shares],
        [share.given.target for share in shares],
        weights,
    )


@dataclass(frozen=True)
class Part:
    """One share of a batch: samples with their twins', guidance, and its part of the loss."""

    samples: int
    guidance: float | None
    accumulate: int
    weight: float


def part_of(share: Share) -> Part:
    """What a share's loss depends on besides tensors."""
    given = share.given
    return Part(len(given.z_t), given.guidance, share.learner.recipe.accumulate, share.weight)


def losses_of(
    answers: torch.Tensor,
    parts: Sequence[Part],
    targets: Sequence[torch.Tensor],
    weights: Sequence[tuple[Weights, Weights]],
) -> list[torch.Tensor]:
    """Each part of the loss of one batch, for plain and recorded steps alike.

    `answers` are the denoiser's for the whole batch, `weights` those of `weights_of`.
    """
    losses = []
    split = torch.split(answers, [part.samples for part in parts])
    for part, answered, target, weighing in zip(parts, split, targets, weights, strict=True):
        loss = weighed_loss(guided(part.guidance, answered), target, *weighing) / part.accumulate
        # Most shares are their whole batch; multiplying by 1 is skipped to keep the same bits.
        losses.append(loss if part.weight == 1.0 else loss * part.weight)
    return losses


def alike(shapes: Mapping[int, tuple[int, ...]]) -> list[list[int]]:
    """Group places whose latents have one shape, so that the denoiser can take them together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for at, shape in shapes.items():
        groups.setdefault(shape, []).append(at)
    return list(groups.values())


def summed(losses: Sequence[torch.Tensor], scale: float) -> torch.Tensor:
    """The sum of losses: every concept's rows get the gradient of their own."""
    return sum(losses[1:], losses[0]) * scale


def smaller_batches(
    model: Model, shares: Sequence[Share], most: int
) -> Iterator[list[tuple[int, Share]]]:
    """The same samples in batches of at most `most` (0: all at once), with their shares' places.

    Their weighted losses add up to the whole ones.
    """
    count = sum(share.part.stop - share.part.start for share in shares)
    if not most or count <= most:
        yield list(enumerate(shares))
        return
    batch: list[tuple[int, Share]] = []
    room = most
    for place, share in enumerate(shares):
        begin, end = share.part.start, share.part.stop
        while begin < end:
            taken = min(room, end - begin)
            weight = taken / (end - share.part.start) * share.weight
            part = slice(begin, begin + taken)
            drawn = share.learner, share.examples, share.samples
            batch.append((place, share_of(model, drawn, part, weight)))
            begin, room = begin + taken, room - taken
            if not room:
                yield batch
                batch, room = [], most
    if batch:
        yield batch


def draw_rule(model: Model, examples: Examples, recipe: Recipe) -> DrawRule:
    """What a recipe's steps are drawn from."""
    thousandth = model.noise_schedule.config.num_train_timesteps / 1000
    return DrawRule(
        batch=recipe.batch * recipe.accumulate,
        photos=examples.latents.mean.shape[0],
        flip=recipe.flip,
        # A multiple of every photo's count, so that each of its sentences is as likely.
        sentences=math.lcm(*(len(choices) for choices in examples.sentences)),
        timesteps=(
            int(recipe.least_noise * thousandth),
            max(1, int(recipe.timestep_high * thousandth)),
        ),
        shape=tuple(examples.latents.mean.shape[2:]),
        law=recipe.timestep_weighting,
        private=recipe.photo_words,
    )


def add_gradients(model: Model, shares: Sequence[Share], scale: float) -> list[float]:
    """Add the gradients of shares' losses, times `scale`, to their rows; the losses themselves."""
    totals = [0.0] * len(shares)
    for batch in smaller_batches(model, shares, model.savings.samples):
        own = [share for _, share in batch]
        if model.savings.cut:
            losses = _cut(model, own, scale)
        else:
            replayed = model.replayer and model.replayer.add_gradients(model, own, scale)
            losses = replayed or _whole(model, own, scale)
        for (place, _), loss in zip(batch, losses, strict=True):
            totals[place] += loss
    return totals


def plain_losses(
    model: Model, examples: Examples, vectors: Vectors, drawn: Draw, batch: int
) -> torch.Tensor:
    """The loss of each sample of a draw, `batch` at a time and without a graph: float32, CPU."""

    def losses() -> torch.Tensor:
        size = min(model.savings.samples or batch, batch)
        parts = [slice(at, at + size) for at in range(0, len(drawn.timesteps), size)]
        with torch.no_grad(), model.encoders_at_hand():
            found = [denoising_losses(model, examples, vectors, drawn, part) for part in parts]
        return torch.cat([loss.cpu() for loss in found])

    return with_less(model, batch, losses)


def _whole(model: Model, shares: Sequence[Share], scale: float) -> list[float]:
    losses = batch_losses(model, shares)
    summed(losses, scale).backward()  # type: ignore[no-untyped-call]
    return [float(loss.detach()) for loss in losses]


def _cut(model: Model, shares: Sequence[Share], scale: float) -> list[float]:
    """Encode without a graph, take dL/dc from the denoiser, then encode again for the rows.

    This needs one graph at a time, and not the encoders beside the denoiser. The gradient has the
    same bits, because the second encoding computes what the first one did.
    """
    given = joined([share.given for share in shares])
    with model.encoders_at_hand(), torch.no_grad():
        known = model.condition(given.prompts, given.words)
    pooled = None if known.pooled is None else known.pooled.detach().requires_grad_()
    known = Conditioning(known.hidden.detach().requires_grad_(), pooled, known.mask)
    losses = batch_losses(model, shares, known)
    summed(losses, scale).backward()  # type: ignore[no-untyped-call]
    found = [float(loss.detach()) for loss in losses]
    del losses
    with model.encoders_at_hand():
        again = model.condition(given.prompts, given.words)
        pairs = [(again.hidden, known.hidden.grad)]
        if again.pooled is not None and known.pooled is not None:
            pairs.append((again.pooled, known.pooled.grad))
        # A family may read only an encoder's pooled text, or all but that.
        used = [(tensor, gradient) for tensor, gradient in pairs if gradient is not None]
        tensors, gradients = zip(*used, strict=True)
        torch.autograd.backward(tensors, gradients)
    return found
