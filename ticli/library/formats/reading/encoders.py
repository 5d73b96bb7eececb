"""Which text encoder a tensor belongs to: its width says so first, then the name of its key."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ticli.errors import BadContent
from ticli.library.describe import ENCODERS
from ticli.library.formats.bounded_json import parse_json
from ticli.library.formats.reading.content import Tensor, load_rows

if TYPE_CHECKING:
    from ticli.concept import Vectors

# Keys of the field → encoder. text_encoders_N count encoders of SDXL in order; their widths say
# which.
NAMED: Mapping[str, str] = {
    "clip_l": "clip_l",
    "clip_h": "clip_h",
    "clip_g": "clip_g",
    "t5": "t5",
    "t5xxl": "t5",
    "gemma": "gemma",
    "llama": "llama",
    "text_encoders_0": "clip_l",
    "text_encoders_1": "clip_g",
}
# T5-XXL and Llama 3.1 8B have the same width: there the key decides.
SHARED_WIDTHS: Mapping[int, Collection[str]] = {4096: ("t5", "llama")}
AFTER = "_out"
ENCODER_KEY = re.compile(r"[a-z][a-z0-9_]{0,31}")
LARGEST_WIDTH, LONGEST_SAID = 1 << 16, 1 << 12


@dataclass(frozen=True)
class Widths:
    """What widths mean here: `said` by the file or the user, by encoder; `usable` as a last resort.

    `usable` lists the widths of the models on this machine and is asked only where no table helps.
    """

    said: Mapping[str, int] = field(default_factory=dict)
    usable: Callable[[], Collection[int]] = tuple


def widths_said(metadata: Mapping[str, str]) -> dict[str, int]:
    """The widths by encoder that a file's metadata gives; what is no width is passed over."""
    try:
        said = parse_json(metadata.get("ti.widths", "{}").encode(), LONGEST_SAID)
    except ValueError:
        return {}
    if not isinstance(said, dict):
        return {}
    return {
        encoder: width
        for encoder, width in said.items()
        if ENCODER_KEY.fullmatch(encoder) and type(width) is int and 0 < width < LARGEST_WIDTH
    }


def is_encoder_key(key: object) -> bool:
    """Whether a key names a text encoder, or the vectors after one."""
    return isinstance(key, str) and key.removesuffix(AFTER) in NAMED


def assign_encoders(
    tensors: Mapping[str, Tensor], widths: Widths, origin: str
) -> dict[str, Vectors]:
    """Read tensors as rows by encoder.

    Raises BadContent for a width that no encoder takes, and where two different tensors claim one
    encoder.
    """
    import numpy as np

    rows: dict[str, Vectors] = {}
    for key, tensor in tensors.items():
        table = load_rows(tensor, key, origin)
        encoder = _encoder(key, int(table.shape[1]), widths, origin)
        if encoder in rows and not np.array_equal(rows[encoder], table):
            raise BadContent(
                f"{origin} has two tensors for the encoder {encoder}, {key!r} the second",
                "give the file of one learned word",
            )
        rows[encoder] = table
    return rows


def _encoder(key: str, width: int, widths: Widths, origin: str) -> str:
    named = NAMED.get(key.rsplit(".", 1)[-1], "")
    said = [encoder for encoder, expected in widths.said.items() if expected == width]
    if width in ENCODERS:
        takers = SHARED_WIDTHS.get(width, (ENCODERS[width],))
        if named in takers:
            return named
        return said[0] if len(said) == 1 else ENCODERS[width]
    if said:
        return named if named in said else said[0]
    usable = widths.usable()
    if width in usable:
        return named or "clip_l"
    known = ", ".join(map(str, sorted({*ENCODERS, *usable})))
    raise BadContent(
        f"{origin} has vectors of {width} numbers, which no known encoder takes",
        f"known widths: {known}",
    )
