"""A concept as a file for other programs: one tensor, and plain words about it as metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from ticli.concept import BaseModel, Concept, Embedding
from ticli.errors import Conflict, Usage
from ticli.library.formats.tensor_file import build_tensor_file

EMB_PARAMS = "emb_params"
FORMATS = ("diffusers", EMB_PARAMS)
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def export_bytes(concept: Concept, embedding: Embedding, format: str = "diffusers") -> bytes:
    """The bytes of a safetensors file in "diffusers" or "emb_params" layout.

    diffusers has the tensor (vectors, width) under the token in lower case: its tokenizers lower
    words, and an upper-case token silently loses all vectors but the first. Raises Usage for an
    unknown format and Conflict for a concept of several encoders, which neither layout can hold.
    """
    if format not in FORMATS:
        raise Usage(f"no format {format!r}", f"choose {', '.join(FORMATS)}")
    if len(embedding.rows) != 1:
        held = ", ".join(embedding.rows)
        raise Conflict(
            f"{concept.name!r} has vectors for several encoders ({held}), "
            f"and a {format} file holds one",
            f"its own file holds them all: ti show {concept.name} --field path",
        )
    (rows,) = embedding.rows.values()
    key = f"<{concept.name}>" if format == "diffusers" else EMB_PARAMS
    return build_tensor_file({key: rows}, _metadata(concept))


def _metadata(concept: Concept) -> Mapping[str, str]:
    """What another `ti`, or a reader of the file, needs; nothing of this machine."""
    return {
        "format": "pt",
        "ti.name": concept.name,
        "ti.token": concept.token,
        "ti.noun": concept.noun,
        "ti.base": json.dumps(_without_folder(concept.base), sort_keys=True),
        "ti.widths": json.dumps(dict(concept.widths), sort_keys=True),
        # The word to write in a prompt, by the name that the ModelSpec standard has for it.
        "modelspec.trigger_phrase": f"<{concept.name}> {concept.noun}".strip(),
    }


def _without_folder(base: BaseModel) -> dict[str, str]:
    """The base model; one that lies in a folder is called by its last part."""
    name = base.id
    if not HUB_ID.fullmatch(name):
        name = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return {
        "family": base.family,
        "id": name,
        "revision": base.revision,
        "fingerprint": base.fingerprint,
    }
