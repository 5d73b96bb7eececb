"""Layouts whose keys name text encoders: SDXL's pair, SD3, Flux, and the others of OneTrainer."""

from __future__ import annotations

from collections.abc import Mapping

from ticli.library.formats.reading.content import Content, Tensor
from ticli.library.formats.reading.encoders import AFTER, is_encoder_key
from ticli.library.formats.reading.found import Found, Reading
from ticli.library.formats.reading.named_parameter import left_out_note
from ticli.library.formats.reading.string_to_param import trained


def read_encoder_keys(content: Content) -> Reading | None:
    """Read one word with a tensor for each text encoder; its name is the file's."""
    if not isinstance(content.root, Mapping):
        return None
    tensors = {key: item for key, item in content.root.items() if isinstance(item, Tensor)}
    if not tensors or not all(is_encoder_key(key) for key in tensors):
        return None
    kept = {key: item for key, item in tensors.items() if not key.endswith(AFTER)}
    if not kept:
        return None
    notes = tuple(left_out_note(content.origin, key) for key in tensors if key not in kept)
    token, steps, remarks = trained(content.root)
    return Reading(
        "+".join(sorted(kept)), (Found(kept, token=token, steps=steps, remarks=remarks),), notes
    )
