"""A tiny random model in the starter's layout, quick to load and to train on."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

STARTER = Path(__file__).parents[1] / "ticli" / "models" / "starter"
WIDTH = 32


def build_tiny_model(folder: Path) -> Path:
    """Write a Stable Diffusion model of 16-pixel latents and 32-wide text, weights at random."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=4096, hidden_size=WIDTH, intermediate_size=37, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=48, bos_token_id=4094, eos_token_id=4095,
        pad_token_id=4095,
    )  # fmt: skip
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32),
        layers_per_block=1, norm_num_groups=8, cross_attention_dim=WIDTH, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ).save_pretrained(folder / "unet")  # fmt: skip
    AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, latent_channels=4, sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    ).save_pretrained(folder / "vae")  # fmt: skip
    DDIMScheduler.from_pretrained(STARTER / "scheduler").save_pretrained(folder / "scheduler")
    shutil.copytree(STARTER / "tokenizer", folder / "tokenizer")
    shutil.copy(STARTER / "model_index.json", folder)
    return folder
