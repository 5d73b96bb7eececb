"""The safetensors layouts: which tensor stands under which key."""

from __future__ import annotations

from collections.abc import Sequence

from ticli.library.formats.writing.metadata import safetensors_file
from ticli.library.formats.writing.package import Package

EMB_PARAMS = "emb_params"
# OneTrainer spells it with a p.
EMP_PARAMS = "emp_params"
# One encoder, called `t5` by OneTrainer and diffusers' scripts, `t5xxl` by ComfyUI.
T5, T5_AT_COMFYUI = "t5", "t5xxl"
LEARNED = "learned_embeds"
PIPELINE_ORDER = ("clip_l", "clip_h", "clip_g", "t5", "gemma")


def diffusers(packages: Sequence[Package]) -> bytes:
    """One tensor under the token, as `load_textual_inversion` of diffusers takes it."""
    return _single(packages[0], packages[0].token)


def emb_params(packages: Sequence[Package]) -> bytes:
    """One tensor under `emb_params`."""
    return _single(packages[0], EMB_PARAMS)


def emp_params(packages: Sequence[Package]) -> bytes:
    """One tensor under `emp_params`, OneTrainer's key."""
    return _single(packages[0], EMP_PARAMS)


def encoder_keys(packages: Sequence[Package]) -> bytes:
    """One tensor an encoder, under the encoder's key."""
    return safetensors_file(packages, packages[0].embedding.rows)


def t5(packages: Sequence[Package]) -> bytes:
    """One tensor an encoder; that of T5 under both names that readers look for."""
    rows = packages[0].embedding.rows
    return safetensors_file(packages, {**rows, T5_AT_COMFYUI: rows[T5]})


def bundle(packages: Sequence[Package]) -> bytes:
    """Words as they lie in a LoRA file, each under `bundle_emb.NAME.KEY`."""
    tensors = {}
    for package in packages:
        rows = package.embedding.rows
        for encoder, table in rows.items():
            key = EMB_PARAMS if len(rows) == 1 else encoder
            tensors[f"bundle_emb.{package.concept.name}.{key}"] = table
    return safetensors_file(packages, tensors)


def diffusers_pair(packages: Sequence[Package]) -> dict[str, bytes]:
    """One diffusers file an encoder, in the order of a pipeline's encoders, each with the token."""
    package = packages[0]
    return {
        f"{LEARNED}{'' if number == 1 else f'_{number}'}.safetensors": safetensors_file(
            packages, {package.token: package.embedding.rows[encoder]}
        )
        for number, encoder in enumerate(in_pipeline_order(package), 1)
    }


def in_pipeline_order(package: Package) -> list[str]:
    """The encoders of a word as pipelines number them: CLIP-L, CLIP-G, then T5."""
    return [encoder for encoder in PIPELINE_ORDER if encoder in package.encoders]


def _single(package: Package, key: str) -> bytes:
    (table,) = package.embedding.rows.values()
    return safetensors_file([package], {key: table})
