"""PixArt-Sigma: a masked T5, a diffusion transformer that also predicts its variance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ticli.models.conditioning import Conditioning, Encoding
from ticli.models.families.diffusion import DIFFUSION
from ticli.models.families.family import (
    Configuration,
    Details,
    EncoderPart,
    Family,
    as_they_are,
)
from ticli.models.families.sd1 import arguments

if TYPE_CHECKING:
    import torch

# The pipeline's own guidance and steps.
DEFAULTS = ("dpm++", 20, 4.5)


def _details(transformer: Configuration) -> Details:
    return Details(int(transformer["sample_size"]), int(transformer["in_channels"]), DEFAULTS)


def masked_condition(
    encodings: Mapping[str, Encoding], _transformer: Configuration
) -> Conditioning:
    """The one encoder's last layer, with its mask."""
    (encoding,) = encodings.values()
    return Conditioning(encoding.hidden, mask=encoding.mask)


def without_variance(output: torch.Tensor, channels: int) -> torch.Tensor:
    """Leave out the half of the channels that predicts a variance, where there is one."""
    return output[:, :channels]


def _denoise(
    transformer: Any, noisy: torch.Tensor, times: torch.Tensor, conditioning: Conditioning
) -> torch.Tensor:
    output = transformer(
        noisy,
        encoder_hidden_states=conditioning.hidden,
        encoder_attention_mask=conditioning.mask,
        timestep=times,
        added_cond_kwargs={"resolution": None, "aspect_ratio": None},
    ).sample
    return without_variance(output, noisy.shape[1])


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


PIXART = Family(
    name="pixart",
    pipeline="PixArtSigmaPipeline",
    encoders=(
        EncoderPart(
            "t5", "text_encoder", "tokenizer", kind="t5", window=300, masked=True, lower=True
        ),
    ),
    denoiser=("transformer", "PixArtTransformer2DModel"),
    vae="AutoencoderKL",
    patch=2,
    law=DIFFUSION,
    details=_details,
    condition=masked_condition,
    denoise=_denoise,
    arguments=masked_arguments,
    unpack=as_they_are,
)
