"""Which model a file of weights is, by its keys and shapes; what it is where it is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ticli.errors import ModelUnavailable
from ticli.models.single_files.contents import Contents

DENOISER = "model.diffusion_model."
VAE = "first_stage_model."
FOLDER = "give the model's folder in the diffusers layout instead"
COMPLETE = "give the complete checkpoint of the model"


@dataclass(frozen=True)
class Text:
    """Where a layout keeps a text encoder; `open_clip` is OpenCLIP's own naming of layers.

    `words` are the names that its token table may have.
    """

    folder: str
    prefix: str
    open_clip: bool = False
    words: tuple[str, ...] = ("embeddings.token_embedding.weight", "token_embedding.weight")


@dataclass(frozen=True)
class Layout:
    """One kind of file: keys of its denoiser, and whole keys, that all its files have.

    `denoisers` are the prefixes that a denoiser's keys may have.

    `plain` layouts are complete in themselves; others may leave everything but the denoiser out.
    """

    family: str
    marks: tuple[str, ...]
    keys: tuple[str, ...] = ()
    texts: tuple[Text, ...] = ()
    denoisers: tuple[str, ...] = (DENOISER,)
    plain: bool = True


T5_PREFIX = "text_encoders.t5xxl.transformer."
T5_WORDS = ("shared.weight", "encoder.embed_tokens.weight")
LAYOUTS = (
    Layout(
        "sdxl",
        ("input_blocks.0.0.weight", "label_emb.0.0.weight"),
        (
            "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
            "conditioner.embedders.1.model.token_embedding.weight",
        ),
        (
            Text("text_encoder", "conditioner.embedders.0.transformer."),
            Text("text_encoder_2", "conditioner.embedders.1.model.", True),
        ),
    ),
    Layout(
        "sd2",
        ("input_blocks.0.0.weight",),
        ("cond_stage_model.model.token_embedding.weight",),
        (Text("text_encoder", "cond_stage_model.model.", True),),
    ),
    Layout(
        "sd1",
        ("input_blocks.0.0.weight",),
        ("cond_stage_model.transformer.*embeddings.token_embedding.weight",),
        (Text("text_encoder", "cond_stage_model.transformer."),),
    ),
    Layout(
        "sd3",
        ("joint_blocks.0.context_block.attn.qkv.weight", "context_embedder.weight"),
        (),
        (
            Text("text_encoder", "text_encoders.clip_l.transformer."),
            Text("text_encoder_2", "text_encoders.clip_g.transformer."),
            Text("text_encoder_3", T5_PREFIX, words=T5_WORDS),
        ),
        (DENOISER, ""),
        plain=False,
    ),
    Layout(
        "flux",
        ("double_blocks.0.img_attn.norm.key_norm.scale", "single_blocks.0.linear1.weight"),
        (),
        (
            Text("text_encoder", "text_encoders.clip_l.transformer."),
            Text("text_encoder_2", T5_PREFIX, words=T5_WORDS),
        ),
        (DENOISER, ""),
        plain=False,
    ),
    Layout(
        "sana",
        ("blocks.0.cross_attn.q_linear.weight", "attention_y_norm.weight"),
        (),
        (),
        (DENOISER, ""),
        plain=False,
    ),
)


def recognise(contents: Contents, name: str) -> tuple[Layout, str]:
    """The layout of a file and the prefix of its denoiser's keys.

    Raises ModelUnavailable naming what the file is instead.
    """
    for layout in LAYOUTS:
        for prefix in layout.denoisers:
            marks = (*(f"{prefix}{mark}" for mark in layout.marks), *layout.keys)
            if all(_has(contents, mark) for mark in marks):
                return layout, prefix
    found, hint = _instead(contents)
    raise ModelUnavailable(f"{name} is {found}", hint)


def _has(contents: Contents, mark: str) -> bool:
    """Whether a key is there; a star stands for anything."""
    start, _, end = mark.partition("*")
    if not end:
        return mark in contents.entries
    return any(key.startswith(start) and key.endswith(end) for key in contents.entries)


def _instead(contents: Contents) -> tuple[str, str]:
    for test, found, hint in OTHERS:
        if test(contents):
            return found, hint
    some = ", ".join(sorted(contents.entries)[:2]) or "nothing"
    return f"no model that ti knows: it holds {some}", FOLDER


def _any(pattern: str) -> Callable[[Contents], bool]:
    search = re.compile(pattern).search
    return lambda contents: any(search(key) for key in contents.entries)


def _few(contents: Contents) -> bool:
    return 0 < len(contents.entries) <= 64 and all(
        len(entry.shape) in (1, 2) for entry in contents.entries.values()
    )


PLAIN = "ti learns words for plain models; use the one that it belongs to"
# In this order: what stands first is the more particular.
OTHERS: tuple[tuple[Callable[[Contents], bool], str, str], ...] = (
    (
        _any(r"lora_(up|down|A|B|unet|te)|\.lora\.|hada_w|lokr_w|oft_blocks|\.dora_scale"),
        "a LoRA, which changes a model and is none",
        PLAIN,
    ),
    (
        _any(r"^control_model\.|^controlnet_|input_hint_block|^control_add"),
        "a ControlNet, which steers a model and is none",
        PLAIN,
    ),
    (_any(r"motion_modules|temporal_transformer|time_stack"), "a model of moving pictures", PLAIN),
    (
        _any(r"^conditioner\.embedders\.0\.model\."),
        "a Stable Diffusion XL refiner, which takes no words of its own",
        "give the base model",
    ),
    (
        _any(r"(^|\.)blocks\.0\.cross_attn\.(q_linear|kv_linear)|adaln_single\.linear"),
        "a PixArt transformer without its text encoder and VAE, which ti reads from folders only",
        FOLDER,
    ),
    (
        _any(r"^model\.diffusion_model\.|^(down_blocks|up_blocks|mid_block|input_blocks)\."),
        "a denoiser without its text encoder",
        COMPLETE,
    ),
    (
        _any(r"^(single_)?transformer_blocks\.\d"),
        "a transformer in the diffusers layout, without its configuration",
        FOLDER,
    ),
    (
        _any(r"^(first_stage_model\.|vae\.)?(encoder|decoder)\.(down|up|mid|conv_in|stages)"),
        "a VAE, which is one part of a model",
        COMPLETE,
    ),
    (
        _any(r"^(text_model|encoder\.block|shared|transformer\.resblocks|vision_model|visual)\b"),
        "a text or image encoder, which is one part of a model",
        COMPLETE,
    ),
    (_few, "an embedding, not a model", "take it into the library: ti import FILE"),
)
