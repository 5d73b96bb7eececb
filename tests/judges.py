"""Tiny random encoders in transformers' layout, quick to load and to look with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

SCORER = Path(__file__).parents[1] / "ticli" / "models" / "starter" / "scorer"
SIDE = 32
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def build_clip(folder: Path) -> Path:
    """Write a random CLIP that looks at 32 pixels and reads the starter's tokens."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(1)
    shape = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    text = {
        "vocab_size": 4096,
        "max_position_embeddings": 24,
        "bos_token_id": 4094,
        "eos_token_id": 4095,
        "pad_token_id": 4095,
    }
    vision = {"image_size": SIDE, "patch_size": 8}
    model = CLIPModel(
        CLIPConfig(text_config=shape | text, vision_config=shape | vision, projection_dim=12)
    )
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(SCORER / name, folder)
    return _prepared(folder, {"shortest_edge": SIDE})


def build_dino(folder: Path, kind: str = "vit") -> Path:
    """Write a random DINO: a ViT, or with "dinov2" its successor."""
    import torch
    from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

    torch.manual_seed(2)
    shape = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 8,
    }
    if kind == "vit":
        model: Any = ViTModel(ViTConfig(**shape, intermediate_size=24), add_pooling_layer=False)
    else:
        model = Dinov2Model(Dinov2Config(**shape, mlp_ratio=2))
    model.save_pretrained(folder)
    return _prepared(folder, {"shortest_edge": 40})


def _prepared(folder: Path, size: dict[str, int]) -> Path:
    settings = {
        "do_resize": True,
        "size": size,
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE},
        "image_mean": MEAN,
        "image_std": STD,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder
