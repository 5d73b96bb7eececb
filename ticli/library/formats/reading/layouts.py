"""Every layout that can be read, tried in order; the keys decide, never the file's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ticli.errors import BadContent
from ticli.library.formats.reading.content import WORD_HINT, Content, Tensor
from ticli.library.formats.reading.diffusers import read_diffusers
from ticli.library.formats.reading.encoder_keys import read_encoder_keys
from ticli.library.formats.reading.found import Found, Reading
from ticli.library.formats.reading.lora_bundle import EXPORTED_ROW, read_bundle
from ticli.library.formats.reading.named_parameter import read_named_parameter
from ticli.library.formats.reading.other_kinds import refuse_other_kind, unknown_layout
from ticli.library.formats.reading.string_to_param import read_string_to_param
from ticli.library.store import ROW

MOST_WORDS = 64
Layout = Callable[[Content], Reading | None]


def find_words(content: Content) -> Reading:
    """Find the words of a container. Raises BadContent where there is none, naming what it is."""
    for layout in LAYOUTS:
        reading = layout(content)
        if reading is not None:
            if len(reading.words) > MOST_WORDS:
                raise BadContent(
                    f"{content.origin} holds {len(reading.words):,} tensors: that is a whole "
                    "model, not an embedding",
                    WORD_HINT,
                )
            return _with_row(reading, content)
    raise unknown_layout(content.root, content.origin)


def _with_row(reading: Reading, content: Content) -> Reading:
    """The row that `ti` puts into files for other programs goes to the only word there is."""
    row = content.said.get(EXPORTED_ROW, "")
    if not row or len(reading.words) != 1 or reading.words[0].row:
        return reading
    return replace(reading, words=(replace(reading.words[0], row=row),))


def _read_own(content: Content) -> Reading | None:
    """A file of a library of `ti`: its keys are encoders, and the row is in the metadata."""
    if ROW not in content.metadata or not isinstance(content.root, Mapping):
        return None
    tensors: dict[str, Tensor] = dict(content.root)
    return Reading("ti", (Found(tensors, row=content.metadata[ROW]),))


def _read_bare(content: Content) -> Reading | None:
    """A tensor alone."""
    if not isinstance(content.root, Tensor):
        return None
    return Reading("bare tensor", (Found({"": content.root}),))


def _refuse_others(content: Content) -> Any:
    refuse_other_kind(content.root, content.origin)


# A LoRA that brings a word along is read before LoRAs are refused.
LAYOUTS: tuple[Layout, ...] = (
    _read_own,
    _read_bare,
    read_bundle,
    read_string_to_param,
    _refuse_others,
    read_encoder_keys,
    read_named_parameter,
    read_diffusers,
)
