"""Tiny random models of the layouts that single files come in, and the modules they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import original_layout as original
import torch

WIDTH, LARGE = 64, 128
WORDS = 49408
# Of ViT-H, the layers that are read.
LAYERS_OF_SD2 = 23
SD1_TEXT = "cond_stage_model.transformer.text_model."
SD2_TEXT = "cond_stage_model.model."
SDXL_TEXTS = ("conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model.")


def text(width: int, *, projected: bool = False, act: str = "gelu", layers: int = 2) -> Any:
    """A CLIP text encoder of few layers over the whole vocabulary."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=WORDS, hidden_size=width, intermediate_size=37, num_hidden_layers=layers,
        num_attention_heads=width // 64, max_position_embeddings=77, hidden_act=act,
        bos_token_id=49406, eos_token_id=49407, pad_token_id=49407, projection_dim=width,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def unet(width: int, channels: int = 4, **changes: Any) -> Any:
    """A U-Net of two levels, the first with attention as in Stable Diffusion 1."""
    from diffusers import UNet2DConditionModel

    options = {
        "sample_size": 64, "in_channels": channels, "block_out_channels": (32, 64),
        "layers_per_block": 1, "cross_attention_dim": width, "attention_head_dim": 8,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), **changes,
    }  # fmt: skip
    return UNet2DConditionModel(**options).eval()


def vae(**changes: Any) -> Any:
    """A VAE that halves a picture three times."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(32, 32, 32, 32), layers_per_block=1, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        **changes,
    ).eval()  # fmt: skip


def parts(family: str) -> dict[str, Any]:
    """The modules of a tiny model, by their folders, weights from one seed."""
    torch.manual_seed(0)
    if family == "sdxl":
        first, second = text(WIDTH, act="quick_gelu"), text(LARGE, projected=True)
        size = {
            "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + LARGE,
        }  # fmt: skip
        denoiser = unet(
            WIDTH + LARGE, block_out_channels=(64, 128), attention_head_dim=(1, 2),
            transformer_layers_per_block=(1, 2), use_linear_projection=True,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **size,
        )  # fmt: skip
        encoders = {"text_encoder": first, "text_encoder_2": second}
        return {**encoders, "unet": denoiser, "vae": vae(scaling_factor=0.13025)}
    if family == "sd2":
        denoiser = unet(
            WIDTH, block_out_channels=(64, 128), attention_head_dim=(1, 2),
            use_linear_projection=True,
        )  # fmt: skip
        return {"text_encoder": text(WIDTH, layers=LAYERS_OF_SD2), "unet": denoiser, "vae": vae()}
    return {"text_encoder": text(WIDTH, act="quick_gelu"), "unet": unet(WIDTH), "vae": vae()}


def state(family: str, modules: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of a single file with these modules."""
    found = {
        "model.diffusion_model.": original.unet(modules["unet"]),
        "first_stage_model.": original.vae(modules["vae"]),
    }
    if family == "sdxl":
        found[SDXL_TEXTS[0]] = original.clip(modules["text_encoder"])
        found[SDXL_TEXTS[1]] = original.open_clip(modules["text_encoder_2"])
    elif family == "sd2":
        found[SD2_TEXT] = original.open_clip(modules["text_encoder"], unread=1)
    else:
        found[SD1_TEXT] = original.clip(modules["text_encoder"])
    return original.joined(found)


def build(family: str, path: Path, metadata: dict[str, str] | None = None) -> dict[str, Any]:
    """Write the tiny single file of a family and return the modules it holds."""
    modules = parts(family)
    original.save(path, state(family, modules), metadata)
    return modules
