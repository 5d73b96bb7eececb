"""ComfyUI's rules for finding and reading a word, written anew."""

from __future__ import annotations

import re
from pathlib import Path

import torch

PROMPT_WORD = re.compile(r"(?:^|\s)embedding:([^\s<\[]+)")


def words_in(prompt: str) -> list[str]:
    """The names of files that a prompt asks for."""
    return PROMPT_WORD.findall(prompt)


def load_word(
    folder: Path, name: str, encoder_key: str, width: int
) -> tuple[torch.Tensor | None, str]:
    """The vectors that one encoder gets, or None and why; the file is found by its stem."""
    path = _found(folder, name)
    if path is None:
        return None, "no such file"
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        data = load_file(path)
    else:
        data = torch.load(path, weights_only=True)
    if "string_to_param" in data:
        chosen = next(iter(data["string_to_param"].values()))
    elif encoder_key in data:
        chosen = data[encoder_key]
    elif bundled := _bundled(data, encoder_key):
        chosen = torch.cat(bundled)
    else:
        chosen = next(iter(data.values()))
    if chosen.shape[-1] != width:
        return None, f"shape mismatch: {chosen.shape[-1]} != {width}"
    return chosen, ""


def _found(folder: Path, name: str) -> Path | None:
    for suffix in ("", ".safetensors", ".pt", ".bin"):
        for path in [folder / f"{name}{suffix}", *folder.rglob(f"{name}{suffix}")]:
            if path.is_file():
                return path
    return None


def _bundled(data: dict[str, torch.Tensor], encoder_key: str) -> list[torch.Tensor]:
    return [
        tensor
        for key, tensor in data.items()
        if key.startswith("bundle_emb.")
        and (".string_to_param." in key or key.endswith(f".{encoder_key}"))
    ]
