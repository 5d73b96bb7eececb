"""The layout of diffusers: every tensor lies under the word it belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from ticli.library.formats.reading.content import Content, Tensor
from ticli.library.formats.reading.encoders import is_encoder_key
from ticli.library.formats.reading.found import Found, Reading
from ticli.library.formats.reading.named_parameter import KEYS


def read_diffusers(content: Content) -> Reading | None:
    """Read one word a tensor; None where a key of another layout stands among them."""
    if not isinstance(content.root, Mapping):
        return None
    tensors = {key: item for key, item in content.root.items() if isinstance(item, Tensor)}
    words = [key for key in tensors if isinstance(key, str) and key.strip()]
    if not words or len(words) != len(tensors):
        return None
    if any(key in KEYS or is_encoder_key(key) for key in words):
        return None
    return Reading("diffusers", tuple(Found({key: tensors[key]}, key=key) for key in words))
