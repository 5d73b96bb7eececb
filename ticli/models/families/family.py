"""What a family of models must say of itself; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ticli.models.conditioning import Conditioning, Encoding

if TYPE_CHECKING:
    import torch

Configuration = Mapping[str, Any]
EncoderKind = Literal["clip", "t5", "gemma"]
# Tokens around a prompt: T5 has no start token, and Gemma gets no end.
MARKS = {"clip": 2, "t5": 1, "gemma": 1}


@dataclass(frozen=True)
class EncoderPart:
    """A text encoder as a family uses it; `folder` and `tokenizer` are its places in the model.

    `window` counts tokens, 0 for as many as the encoder has positions. `penultimate` reads the
    layer before the last, `projected` has a projection for pooled text, `pooled` wants that text.
    A `masked` encoder does not attend to padding; `lower` prompts are read in lower case.
    `instruction` gives the text that stands before a prompt and is not passed on.
    """

    key: str
    folder: str
    tokenizer: str
    kind: EncoderKind = "clip"
    window: int = 0
    penultimate: bool = False
    projected: bool = False
    pooled: bool = False
    masked: bool = False
    lower: bool = False
    optional: bool = False
    instruction: Callable[[], str] | None = None


@dataclass(frozen=True)
class Law:
    """How noise is added to latents and what is predicted of it.

    Timesteps are whole numbers from 0 to the schedule's last; `times` turns them into what the
    denoiser is told, for latents of a shape (batch, channels, height, width).
    """

    schedule: str
    times: Callable[[Any, torch.Tensor, tuple[int, ...]], torch.Tensor]
    add_noise: Callable[[Any, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    target: Callable[[Any, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    prediction: Callable[[Any], str]


@dataclass(frozen=True)
class Details:
    """What a model's own configuration settles: the side and channels of its latents.

    `defaults` are sampler, steps and guidance; `windows` replace those of the encoders;
    `reads_negative` is False where guidance is a number that the denoiser is told.
    """

    side: int
    channels: int
    defaults: tuple[str, int, float]
    windows: Mapping[str, int] = field(default_factory=dict)
    reads_negative: bool = True


@dataclass(frozen=True)
class Family:
    """One kind of model: its parts by their diffusers classes, and how they work together.

    `patch` is how many latents a side the denoiser takes together. `condition` joins the
    encodings, by encoder; `denoise` calls the denoiser; `arguments` are those of the pipeline for
    a conditioning of negative, then positive prompts, noise and guidance; `unpack` undoes its own
    layout of latents, given their height and width. A `zeroed` family's pipeline takes zeros where
    no negative prompt is given, unless a model's index says otherwise.
    """

    name: str
    pipeline: str
    encoders: tuple[EncoderPart, ...]
    denoiser: tuple[str, str]
    vae: str
    patch: int
    law: Law
    details: Callable[[Configuration], Details]
    condition: Callable[[Mapping[str, Encoding], Configuration], Conditioning]
    denoise: Callable[[Any, torch.Tensor, torch.Tensor, Conditioning], torch.Tensor]
    arguments: Callable[[Conditioning, torch.Tensor, float], dict[str, Any]]
    unpack: Callable[[torch.Tensor, int, int], torch.Tensor]
    zeroed: bool = False


def as_they_are(latents: torch.Tensor, _height: int, _width: int) -> torch.Tensor:
    """Leave latents in the layout they have."""
    return latents


def pooled_arguments(pair: Conditioning, noise: torch.Tensor, guidance: float) -> dict[str, Any]:
    """Embeddings and pooled text for a pipeline, the negative prompt's first in `pair`."""
    negative, positive = pair.halves()
    return arguments(pair, noise, guidance) | {
        "pooled_prompt_embeds": positive.pooled,
        "negative_pooled_prompt_embeds": negative.pooled,
    }


def arguments(pair: Conditioning, noise: torch.Tensor, guidance: float) -> dict[str, Any]:
    """Embeddings for the pipeline, which then reads no prompt."""
    negative, positive = pair.halves()
    return {
        "prompt_embeds": positive.hidden,
        "negative_prompt_embeds": negative.hidden,
        "latents": noise,
        "guidance_scale": guidance,
    }


def masked_condition(
    encodings: Mapping[str, Encoding], _transformer: Configuration
) -> Conditioning:
    """The one encoder's last layer, with its mask."""
    (encoding,) = encodings.values()
    return Conditioning(encoding.hidden, mask=encoding.mask)


def without_variance(output: torch.Tensor, channels: int) -> torch.Tensor:
    """Leave out the half of the channels that predicts a variance, where there is one."""
    return output[:, :channels]


def masked_arguments(pair: Conditioning, noise: torch.Tensor, guidance: float) -> dict[str, Any]:
    """Embeddings and masks for a pipeline that would clean prompts and snap sizes by itself."""
    negative, positive = pair.halves()
    return arguments(pair, noise, guidance) | {
        "prompt_attention_mask": positive.mask,
        "negative_prompt_attention_mask": negative.mask,
        "negative_prompt": None,
        "clean_caption": False,
        "use_resolution_binning": False,
    }
