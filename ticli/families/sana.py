"""Sana: a Gemma that reads an instruction before the prompt, a deep VAE, a flow transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ticli.families.family import (
    FLOW,
    UNCHANGED,
    Conditioning,
    Configuration,
    EncoderPart,
    Family,
    SingleFileLayout,
    State,
    arguments,
    masked_condition,
    usual_details,
)

if TYPE_CHECKING:
    from torch import Tensor


def instruction() -> str:
    """The text its pipeline puts before every prompt, read from there (2410.10629, section 3.3)."""
    import inspect

    from diffusers import SanaPipeline

    lines = inspect.signature(SanaPipeline.__call__).parameters["complex_human_instruction"]
    return "\n".join(lines.default)


def _denoise(transformer: Any, noisy: Tensor, times: Tensor, conditioning: Conditioning) -> Any:
    output = transformer(
        noisy,
        encoder_hidden_states=conditioning.hidden,
        encoder_attention_mask=conditioning.mask,
        timestep=times * transformer.config.timestep_scale,
    ).sample
    # Some models also predict a variance, in the other half of the channels.
    return output[:, : noisy.shape[1]]


def _arguments(pair: Conditioning, noise: Tensor, guidance: float) -> dict[str, Any]:
    # The pipeline keeps latents in float32 between its steps.
    found = arguments(pair, noise.float(), guidance)
    return found | UNCHANGED | {"complex_human_instruction": None}


def _state(tensors: State, _transformer: Configuration) -> Any:
    import torch
    from diffusers.loaders.single_file_utils import convert_sana_transformer_to_diffusers

    # It drops these two unread.
    unread = {"pos_embed": torch.empty(0), "y_embedder.y_embedding": torch.empty(0)}
    return convert_sana_transformer_to_diffusers({**unread, **tensors})


SANA = Family(
    name="sana",
    title="Sana",
    pipeline="SanaPipeline",
    encoders=(
        EncoderPart(
            "gemma",
            kind="gemma",
            widths=(2304,),
            window=300,
            masked=True,
            lower=True,
            instruction=instruction,
        ),
    ),
    denoiser=("transformer", "SanaTransformer2DModel"),
    vae="AutoencoderDC",
    law=FLOW,
    # The pipeline's own guidance and steps.
    details=usual_details(("dpm++", 20, 4.5)),
    condition=masked_condition,
    denoise=_denoise,
    arguments=_arguments,
    architecture=lambda pixels: "sana",
    exports={"onetrainer": "encoder-keys"},
    single_file=SingleFileLayout(
        marks=("blocks.0.cross_attn.q_linear.weight", "attention_y_norm.weight"),
        state=_state,
    ),
)
