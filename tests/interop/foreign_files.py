"""Every layout as the program that it comes from writes it, by torch, safetensors and Pillow."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

Rows = Mapping[str, torch.Tensor]
Writer = Callable[[Path, Rows], Path]
NAMES = {"t5": "t5xxl"}


def _only(rows: Rows) -> torch.Tensor:
    (tensor,) = rows.values()
    return tensor


def diffusers(folder: Path, rows: Rows) -> Path:
    path = folder / "learned_embeds-steps-500.safetensors"
    save_file({"<mug>": _only(rows)}, path, metadata={"format": "pt"})
    return path


def diffusers_pair(folder: Path, rows: Rows) -> Path:
    for number, encoder in enumerate(("clip_l", "clip_g", "t5"), 1):
        end = "" if encoder == "clip_l" else f"_{number if len(rows) == 3 else 2}"
        if encoder in rows:
            save_file({"<mug>": rows[encoder]}, folder / f"learned_embeds{end}.safetensors")
    return folder


def diffusers_bin(folder: Path, rows: Rows) -> Path:
    """One vector has one dimension, as in 2022."""
    tensor = _only(rows)
    torch.save({"<mug>": tensor[0] if len(tensor) == 1 else tensor}, folder / "learned_embeds.bin")
    return folder / "learned_embeds.bin"


def emb_params(folder: Path, rows: Rows) -> Path:
    save_file({"emb_params": _only(rows)}, folder / "mug.safetensors")
    return folder / "mug.safetensors"


def emp_params(folder: Path, rows: Rows) -> Path:
    """OneTrainer also writes what it adds behind the encoder."""
    both = {"emp_params": _only(rows), "emp_params_out": torch.ones_like(_only(rows))}
    save_file(both, folder / "mug.safetensors")
    return folder / "mug.safetensors"


def encoder_keys(folder: Path, rows: Rows) -> Path:
    save_file(dict(rows), folder / "mug.safetensors")
    return folder / "mug.safetensors"


def comfyui_keys(folder: Path, rows: Rows) -> Path:
    tensors = {NAMES.get(encoder, encoder): tensor for encoder, tensor in rows.items()}
    save_file(tensors, folder / "mug.safetensors")
    return folder / "mug.safetensors"


def a1111_pt(folder: Path, rows: Rows) -> Path:
    torch.save(
        {
            "string_to_token": {"*": 265},
            "string_to_param": {"*": _only(rows)},
            "name": "mug",
            "step": 500,
            "sd_checkpoint": "0123456789",
            "sd_checkpoint_name": "v1-5-pruned",
        },
        folder / "file-500.pt",
    )
    return folder / "file-500.pt"


def original_pt(folder: Path, rows: Rows) -> Path:
    words = torch.nn.ParameterDict({"*": torch.nn.Parameter(_only(rows))})
    saved = {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": words}
    torch.save(saved, folder / "mug.pt")
    return folder / "mug.pt"


def png(folder: Path, rows: Rows) -> Path:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    numbers = {encoder: {"TORCHTENSOR": tensor.tolist()} for encoder, tensor in rows.items()}
    if len(numbers) == 1:
        (table,) = numbers.values()
        numbers = {"string_to_token": {"*": 265}, "string_to_param": {"*": table}}
    document = json.dumps({**numbers, "name": "mug", "step": 500})
    info = PngInfo()
    info.add_text("sd-ti-embedding", base64.b64encode(document.encode()).decode())
    Image.new("RGB", (64, 64), "blue").save(folder / "preview.png", pnginfo=info)
    return folder / "preview.png"


def concept_repo(folder: Path, rows: Rows) -> Path:
    diffusers_bin(folder, rows)
    (folder / "token_identifier.txt").write_text("<mug>")
    (folder / "type_of_concept.txt").write_text("style")
    return folder


def bundle(folder: Path, rows: Rows) -> Path:
    key = {"clip_l": "emb_params", "clip_h": "emb_params"} if len(rows) == 1 else {}
    tensors = {f"bundle_emb.mug.{key.get(name, name)}": tensor for name, tensor in rows.items()}
    tensors["lora_unet_mid.lora_up.weight"] = torch.zeros(4, 4)
    save_file(tensors, folder / "lora.safetensors")
    return folder / "lora.safetensors"


def own(folder: Path, rows: Rows) -> Path:
    """The very file that lies in a library."""
    from concepts import make_concept

    from ticli.concept import Embedding
    from ticli.library import encode_blob

    embedding = Embedding({encoder: tensor.numpy() for encoder, tensor in rows.items()})
    concept = make_concept("mug", widths=embedding.widths, vectors=embedding.vectors)
    (folder / "blob").write_bytes(encode_blob(concept, embedding))
    return folder / "blob"


WRITERS: Mapping[str, Writer] = {
    "ti": own,
    "diffusers": diffusers,
    "diffusers-pair": diffusers_pair,
    "diffusers-bin": diffusers_bin,
    "emb_params": emb_params,
    "emp_params": emp_params,
    "sdxl": encoder_keys,
    "t5xxl": comfyui_keys,
    "encoder-keys": encoder_keys,
    "a1111-pt": a1111_pt,
    "original-pt": original_pt,
    "png": png,
    "concept-repo": concept_repo,
    "bundle": bundle,
}
