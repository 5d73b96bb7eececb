"""Models of published shapes with weights at random: speed does not depend on their values."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

import ticli
from ticli.models.hardware import pick_hardware
from ticli.models.model import quiet_libraries

TOKENIZER = Path(ticli.__file__).parent / "models" / "clip_tokenizer"
CLIP_L = {
    "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "max_position_embeddings": 77, "projection_dim": 768,
    "hidden_act": "quick_gelu", "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407,
}  # fmt: skip
CLIP_G = CLIP_L | {
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
    "num_attention_heads": 20, "projection_dim": 1280, "hidden_act": "gelu", "pad_token_id": 0,
}  # fmt: skip
SD15 = {
    "sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8, "layers_per_block": 2,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}  # fmt: skip
SDXL = {
    "sample_size": 128, "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20),
    "layers_per_block": 2, "block_out_channels": (320, 640, 1280),
    "transformer_layers_per_block": (1, 2, 10), "use_linear_projection": True,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "down_block_types": ("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 2,
    "up_block_types": ("CrossAttnUpBlock2D",) * 2 + ("UpBlock2D",),
}  # fmt: skip
# Small enough to try every path of the benchmark on a CPU.
TINY_CLIP = CLIP_L | {
    "hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4,
    "projection_dim": 32,
}  # fmt: skip
TINY = {
    "sample_size": 8, "cross_attention_dim": 32, "attention_head_dim": 4, "layers_per_block": 1,
    "block_out_channels": (16, 32), "norm_num_groups": 8,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}  # fmt: skip
TINY_XL = TINY | {
    "cross_attention_dim": 64, "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 32 + 6 * 8,
}  # fmt: skip
VAE = {
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    "sample_size": 512,
}  # fmt: skip
TINY_VAE = VAE | {
    "block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 4,
    "sample_size": 64,
}  # fmt: skip
SCHEDULE = {
    "_class_name": "DDPMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "prediction_type": "epsilon",
}  # fmt: skip


def write_model(folder: Path, name: str, device: str, dtype: torch.dtype) -> Path:
    """Write "sd15", "sdxl" or their tiny forms "tiny" and "tiny-xl" unless it is there already."""
    if (folder / "model_index.json").exists():
        return folder
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    tiny, large = name.startswith("tiny"), name in ("sdxl", "tiny-xl")
    unet = {"sd15": SD15, "sdxl": SDXL, "tiny": TINY, "tiny-xl": TINY_XL}[name]
    clips = [TINY_CLIP, TINY_CLIP] if tiny else [CLIP_L, CLIP_G]
    torch.manual_seed(0)
    with quiet_libraries(), torch.device(device):
        parts: dict[str, Any] = {
            "unet": UNet2DConditionModel(in_channels=4, out_channels=4, **unet),
            "vae": AutoencoderKL(**(TINY_VAE if tiny else VAE)),
            "text_encoder": CLIPTextModel(CLIPTextModel.config_class(**clips[0])),
        }
        if large:
            kind = CLIPTextModelWithProjection
            parts["text_encoder_2"] = kind(kind.config_class(**clips[1]))
    index = {"_class_name": "StableDiffusionXLPipeline" if large else "StableDiffusionPipeline"}
    for part, module in parts.items():
        library = "transformers" if part.startswith("text") else "diffusers"
        index[part] = [library, type(module).__name__]
        with quiet_libraries():
            # Half-filled folders are written anew: the index comes last.
            module.to(dtype).save_pretrained(folder / part)
    for part in ("tokenizer", "tokenizer_2") if large else ("tokenizer",):
        index[part] = ["transformers", "CLIPTokenizer"]
        shutil.copytree(TOKENIZER, folder / part, dirs_exist_ok=True)
    index["scheduler"] = ["diffusers", "DDPMScheduler"]
    (folder / "scheduler").mkdir(exist_ok=True)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULE))
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def main() -> None:
    """Write the models that are named into a folder: gpu_models.py FOLDER DEVICE NAME…"""
    folder, device, *names = sys.argv[1:]
    hardware = pick_hardware(device)
    for name in names:
        print(write_model(Path(folder) / name, name, hardware.device.type, hardware.dtype))


if __name__ == "__main__":
    main()
