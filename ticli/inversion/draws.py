"""Everything random in a training step, drawn on the CPU from (seed, step) alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Draw:
    """One step's samples: each field has the length of the step's effective batch.

    `photos` index the latents, `sentences` the sentence list (both from uniform numbers),
    `timesteps` the noise schedule; `spread` and `noise` are standard normal, latent-shaped.
    `private` marks the samples whose sentence also holds the photo's own word; None is for none.
    """

    photos: torch.Tensor
    mirrored: torch.Tensor
    sentences: torch.Tensor
    timesteps: torch.Tensor
    spread: torch.Tensor
    noise: torch.Tensor
    private: torch.Tensor | None = None


@dataclass(frozen=True)
class DrawRule:
    """The ranges to draw from: counts, whether photos may be mirrored, one latent's shape.

    Timesteps are drawn from the half-open range `timesteps` by `law`, and the photo's own word
    with the probability `private`.
    """

    batch: int
    photos: int
    flip: bool
    sentences: int
    timesteps: tuple[int, int]
    shape: tuple[int, ...]
    law: str = "uniform"
    private: float = 0.0


def keyed_generator(seed: int, *keys: int | str) -> torch.Generator:
    """A CPU generator that depends on the seed and keys and on nothing drawn before."""
    text = ":".join(str(part) for part in (seed, *keys))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return torch.Generator("cpu").manual_seed(number >> 1)


def draw(seed: int, step: int, rule: DrawRule) -> Draw:
    """Draw one step's samples.

    Photos come in shuffled rounds, so each is seen equally often. Timesteps are stratified over
    the batch (Kingma et al. 2021, 2107.00630, appendix I.1): the same expectation as independent
    ones at less variance.
    """
    generator = keyed_generator(seed, "step", step)
    rounds = -(-rule.batch // rule.photos)
    photos = torch.cat([torch.randperm(rule.photos, generator=generator) for _ in range(rounds)])
    strata = torch.randperm(rule.batch, generator=generator)
    offset = torch.rand(rule.batch, generator=generator, dtype=torch.float64)
    low, high = rule.timesteps
    share = _place(rule.law, (strata + offset) / rule.batch)
    timesteps = low + (share * (high - low)).long()
    mirrored = torch.rand(rule.batch, generator=generator) < 0.5
    private = None
    if rule.private:
        # From a key of its own: without private words every other draw stays what it is.
        keyed = keyed_generator(seed, "private", step)
        private = torch.rand(rule.batch, generator=keyed) < rule.private
    return Draw(
        photos=photos[: rule.batch],
        mirrored=mirrored & rule.flip,
        sentences=torch.randint(rule.sentences, (rule.batch,), generator=generator),
        timesteps=timesteps.clamp_(max=high - 1),
        spread=torch.randn(rule.batch, *rule.shape, generator=generator),
        noise=torch.randn(rule.batch, *rule.shape, generator=generator),
        private=private,
    )


def fixed_draw(rule: DrawRule, count: int, generator: torch.Generator) -> Draw:
    """One sample for each of `count` equal parts of the rule's timesteps, pictures in turn."""
    low, high = rule.timesteps
    offset = torch.rand(count, generator=generator, dtype=torch.float64)
    timesteps = low + ((torch.arange(count) + offset) / count * (high - low)).long()
    return Draw(
        photos=torch.arange(count) % rule.photos,
        mirrored=torch.zeros(count, dtype=torch.bool),
        sentences=torch.randint(rule.sentences, (count,), generator=generator),
        timesteps=timesteps.clamp_(max=high - 1),
        spread=torch.randn(count, *rule.shape, generator=generator),
        noise=torch.randn(count, *rule.shape, generator=generator),
    )


def _place(law: str, share: torch.Tensor) -> torch.Tensor:
    """Turn uniform numbers in [0, 1) into places in the timesteps' range."""
    match law:
        case "cubic":  # Most weight on the noisy end: t = 1 − u³ (T2I-Adapter, 2302.08453).
            return 1 - (1 - share) ** 3
        case "logit-normal":  # logit(t) is standard normal (2403.03206, section 3.1).
            return torch.sigmoid(torch.special.ndtri(share))
    return share
