"""Files of the field that are no plain learned words: recognised by their keys, refused by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ticli.errors import BadContent
from ticli.library.formats.reading.content import WORD_HINT, shown_keys

# kohya's extended textual inversion has one entry for each cross-attention of a U-Net.
PER_LAYER = {"IN01", "IN02", "MID", "OUT03", "OUT11"}
WHOLE_MODEL = re.compile(
    r"(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner\.embedders"
    r"|text_model\.(encoder|embeddings)|down_blocks|up_blocks|mid_block|double_blocks"
    r"|single_blocks|joint_blocks|transformer_blocks|encoder\.down|decoder\.up"
    r"|unet\.|vae\.|text_encoders?\.)"
)
ADAPTER = re.compile(
    r"(^lora_|\.lora_(A|B|up|down|mid)\b|\.lora\.(up|down)|\.hada_w1|\.lokr_w|\.oft_|\.dora_scale)"
)
LAYER_SIZES = {320, 640, 768, 1024, 1280}
# What stands in pickles of these kinds, where the pickle itself is refused.
IN_PICKLES: tuple[tuple[bytes, str], ...] = (
    (b"model.diffusion_model", "a full model"),
    (b"first_stage_model", "a full model"),
    (b"cond_stage_model", "a full model"),
    (b"text_model.encoder", "a full text encoder"),
    (b"pytorch_lightning", "a full training checkpoint"),
    (b"optimizer_states", "a full training checkpoint"),
    (b"optimizer_state_dict", "the state of an optimiser"),
    (b"lora_unet_", "a LoRA"),
)
PROGRAM_HINT = (
    "a pickle can be a program; do not open it with another tool, and ask for a safetensors file"
)


def refuse_other_kind(root: Any, origin: str) -> None:
    """Refuse what is known and is no plain embedding. Raises BadContent naming the kind."""
    kind = _kind(root)
    if kind:
        raise BadContent(f"{origin} is {kind}, not the plain embedding of a word", WORD_HINT)


def refuse_pickle(data: bytes, origin: str, reason: str) -> BadContent:
    """The refusal of a pickle that is more than data; a known kind is named."""
    for mark, kind in IN_PICKLES:
        if mark in data:
            return BadContent(f"{origin} is {kind}, not the embedding of a word", WORD_HINT)
    return BadContent(f"{origin} is refused: its pickle {reason}", PROGRAM_HINT)


def unknown_layout(root: Any, origin: str) -> BadContent:
    """The refusal of a container in which no known layout was found."""
    if isinstance(root, Mapping):
        held = f": {shown_keys(root)}" if root else ""
        many = "nothing" if not root else f"{len(root):,} entries"
        return BadContent(f"{origin} holds {many}{held}, and no learned word", WORD_HINT)
    return BadContent(f"{origin} holds a {type(root).__name__}, and no learned word", WORD_HINT)


def _kind(root: Any) -> str:
    if not isinstance(root, Mapping):
        return ""
    keys = set(root)
    if keys >= PER_LAYER:
        return "a per-layer (XTI) embedding"
    if "optimizer_state_dict" in keys and "hash" in keys:
        return "the state of an optimiser"
    if "layer_structure" in keys or LAYER_SIZES & {key for key in keys if type(key) is int}:
        return "a hypernetwork"
    if isinstance(root.get("state_dict"), Mapping):
        return _kind(root["state_dict"]) or "a full model"
    names = [key for key in keys if isinstance(key, str)]
    if _any(ADAPTER, names):
        return "a LoRA"
    if _any(WHOLE_MODEL, names):
        return "a full model"
    return ""


def _any(pattern: re.Pattern[str], names: Iterable[str]) -> bool:
    return any(pattern.search(name) for name in names)
