"""Flux.1: CLIP for the pooled text, T5 for the sequence, a flow transformer over packed latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ticli.families.family import (
    FLOW,
    PATCH,
    Conditioning,
    Configuration,
    Details,
    EncoderPart,
    Encoding,
    Family,
)

if TYPE_CHECKING:
    import torch


# The pipeline's own; the transformer's configuration names no size.
SIDE = 128
GUIDED, DISTILLED = ("euler", 28, 3.5), ("euler", 4, 0.0)
# The fast variant was distilled on shorter texts.
WINDOW, DISTILLED_WINDOW = 512, 256
# At 1 a model that is told its guidance predicts the velocity itself, which is the target.
PLAIN_GUIDANCE = 1.0


def _details(transformer: Configuration) -> Details:
    """A variant that is told no guidance is the one distilled to few steps."""
    channels = int(transformer["in_channels"]) // PATCH**2
    if transformer.get("guidance_embeds"):
        return Details(SIDE, channels, GUIDED, reads_negative=False)
    return Details(SIDE, channels, DISTILLED, {"t5": DISTILLED_WINDOW}, reads_negative=False)


def _condition(encodings: Mapping[str, Encoding], _transformer: Configuration) -> Conditioning:
    return Conditioning(encodings["t5"].hidden, encodings["clip_l"].pooled)


def pack(latents: torch.Tensor) -> torch.Tensor:
    """(batch, channels, height, width) to (batch, patches, 4 · channels)."""
    batch, channels, height, width = latents.shape
    rows, columns = height // PATCH, width // PATCH
    patches = latents.reshape(batch, channels, rows, PATCH, columns, PATCH)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)


def unpack(packed: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Undo `pack` for latents of (height, width)."""
    rows, columns = height // PATCH, width // PATCH
    patches = packed.reshape(packed.shape[0], rows, columns, -1, PATCH, PATCH)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(packed.shape[0], -1, height, width)


def _positions(noisy: torch.Tensor) -> torch.Tensor:
    """The (0, row, column) of each patch, (patches, 3)."""
    import torch

    rows, columns = noisy.shape[-2] // PATCH, noisy.shape[-1] // PATCH
    grid = torch.zeros(rows, columns, 3, device=noisy.device, dtype=noisy.dtype)
    grid[..., 1] += torch.arange(rows, device=noisy.device)[:, None]
    grid[..., 2] += torch.arange(columns, device=noisy.device)[None, :]
    return grid.reshape(-1, 3)


def _denoise(
    transformer: Any, noisy: torch.Tensor, times: torch.Tensor, conditioning: Conditioning
) -> torch.Tensor:
    guidance = None
    if transformer.config.guidance_embeds:
        guidance = times.new_full((noisy.shape[0],), PLAIN_GUIDANCE)
    packed: torch.Tensor = transformer(
        hidden_states=pack(noisy),
        timestep=times / 1000,
        guidance=guidance,
        pooled_projections=conditioning.pooled,
        encoder_hidden_states=conditioning.hidden,
        txt_ids=noisy.new_zeros(conditioning.hidden.shape[1], 3),
        img_ids=_positions(noisy),
    ).sample
    return unpack(packed, noisy.shape[-2], noisy.shape[-1])


def _arguments(pair: Conditioning, noise: torch.Tensor, guidance: float) -> dict[str, Any]:
    """The negative prompt stays unread: guidance is a number that the transformer is told."""
    _, positive = pair.halves()
    return {
        "prompt_embeds": positive.hidden,
        "pooled_prompt_embeds": positive.pooled,
        "latents": pack(noise),
        "guidance_scale": guidance,
    }


FLUX = Family(
    name="flux",
    pipeline="FluxPipeline",
    encoders=(
        EncoderPart("clip_l", "text_encoder", "tokenizer", pooled=True),
        EncoderPart("t5", "text_encoder_2", "tokenizer_2", kind="t5", window=WINDOW),
    ),
    denoiser=("transformer", "FluxTransformer2DModel"),
    vae="AutoencoderKL",
    patch=PATCH,
    law=FLOW,
    details=_details,
    condition=_condition,
    denoise=_denoise,
    arguments=_arguments,
    unpack=unpack,
)
