"""The layouts that can be read, tried in order; keys decide, never the file's name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ticli.errors import BadContent
from ticli.families import encoder_names, encoder_widths
from ticli.library.formats.containers import (
    WORD_HINT,
    Content,
    Tensor,
    load_rows,
    refuse_other_kind,
    unknown_layout,
)
from ticli.library.formats.tensor_file import parse_json
from ticli.library.store import ROW

if TYPE_CHECKING:
    from ticli.concept import Vectors


# Names in files beyond those of the families. text_encoders_N count the encoders of SDXL.
OTHER_NAMES: Mapping[str, str] = {
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
    """What widths mean here: `said` by the file or the user, by encoder.

    `usable` lists the widths of the models on this machine; it is called only if no table helps.
    """

    said: Mapping[str, int] = field(default_factory=dict)
    usable: Callable[[], Collection[int]] = tuple


def widths_said(metadata: Mapping[str, str]) -> dict[str, int]:
    """The widths by encoder that a file's metadata gives; what is no width is ignored."""
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


def _names() -> dict[str, str]:
    return {**OTHER_NAMES, **encoder_names()}


def is_encoder_key(key: object) -> bool:
    """Whether a key names a text encoder, or the vectors after one."""
    return isinstance(key, str) and key.removesuffix(AFTER) in _names()


def _tensors(content: Content) -> dict[Any, Tensor]:
    """The tensors of a container by key; none if its root is no mapping."""
    if not isinstance(content.root, Mapping):
        return {}
    return {key: item for key, item in content.root.items() if isinstance(item, Tensor)}


def assign_encoders(
    tensors: Mapping[str, Tensor], widths: Widths, origin: str
) -> dict[str, Vectors]:
    """Read tensors as rows by encoder.

    Raises BadContent for a width that no encoder takes, and for two tensors of one encoder that
    differ.
    """
    import numpy as np

    rows: dict[str, Vectors] = {}
    for key, tensor in tensors.items():
        table = load_rows(tensor, key, origin)
        encoder = _encoder(key, int(table.shape[1]), widths, origin)
        if encoder in rows and not np.array_equal(rows[encoder], table):
            raise BadContent(
                f"{origin} has two tensors for the encoder {encoder}, {key!r} the second",
                "give the embedding file of one concept",
            )
        rows[encoder] = table
    return rows


def _encoder(key: str, width: int, widths: Widths, origin: str) -> str:
    """The encoder that takes a tensor: its width says so first, then its key."""
    named, known = _names().get(key.rsplit(".", 1)[-1], ""), encoder_widths()
    said = [encoder for encoder, expected in widths.said.items() if expected == width]
    if width in known:
        takers = SHARED_WIDTHS.get(width, (known[width],))
        if named in takers:
            return named
        return said[0] if len(said) == 1 else known[width]
    if said:
        return named if named in said else said[0]
    usable = widths.usable()
    if width in usable:
        return named or "clip_l"
    raise BadContent(
        f"{origin} has vectors of {width} numbers, which no known encoder takes",
        f"known widths: {', '.join(map(str, sorted({*known, *usable})))}",
    )


@dataclass(frozen=True)
class FoundVectors:
    """One concept: its tensors by key, and what the file says of it.

    `token` was stored as its name; `key` is the name of its tensor if that is a word. `remarks` are
    for the concept's notes. `row` is the JSON of a whole row of a library of `ti`.
    """

    tensors: Mapping[str, Tensor]
    token: str = ""
    key: str = ""
    steps: int = 0
    remarks: str = ""
    row: str = ""


@dataclass(frozen=True)
class Reading:
    """The concepts of a container, the name of its layout, and what was left out."""

    layout: str
    words: tuple[FoundVectors, ...]
    notes: tuple[str, ...] = ()


# Keys of a lone tensor that name nothing.
KEYS = ("emb_params", "emp_params", "*")


def read_named_parameter(content: Content) -> Reading | None:
    """Read a file whose one tensor has a key that is no name.

    ai-toolkit puts name and step as JSON into the metadata.
    """
    tensors = _tensors(content)
    for key in KEYS:
        if key in tensors and tensors.keys() <= {key, key + AFTER}:
            left_out = (left_out_note(content.origin, key + AFTER),) if len(tensors) == 2 else ()
            step = _plain(content.metadata, "step")
            found = FoundVectors(
                {key: tensors[key]},
                token=_plain(content.metadata, "name"),
                steps=int(step) if step.isdecimal() and len(step) < 10 else 0,
            )
            return Reading(key if key != "*" else "diffusers", (found,), left_out)
    return None


def left_out_note(origin: str, key: str) -> str:
    """Say that vectors behind a text encoder are left out."""
    return (
        f"{origin}: {key!r} is left out: these vectors were trained behind the text encoder, "
        "where only OneTrainer puts them"
    )


def _plain(metadata: Mapping[str, str], field: str) -> str:
    """A field that may be JSON or plain text."""
    text = metadata.get(field, "")[:200]
    if text.startswith('"'):
        try:
            value = json.loads(text)
        except ValueError:
            return text
        return value if isinstance(value, str) else ""
    return text


def read_diffusers(content: Content) -> Reading | None:
    """Read tensors under their words; None if a key of another layout is among them."""
    tensors = _tensors(content)
    words = [key for key in tensors if isinstance(key, str) and key.strip()]
    if not words or len(words) != len(tensors):
        return None
    if any(key in KEYS or is_encoder_key(key) for key in words):
        return None
    return Reading("diffusers", tuple(FoundVectors({key: tensors[key]}, key=key) for key in words))


KEY = "string_to_param"
# The original repository's placeholder, which says nothing.
NAMELESS = "*"
OWN_FIELDS = ("name", "step", "sd_checkpoint", "sd_checkpoint_name")
LONGEST_REMARK = 200


def read_string_to_param(content: Content) -> Reading | None:
    """Read `string_to_param` of AUTOMATIC1111 or of the original repository.

    The former holds one concept, with a name, a step and the checkpoint; the latter may hold
    several.
    """
    root = content.root
    table = root.get(KEY) if isinstance(root, Mapping) else None
    if not isinstance(table, Mapping):
        return None
    tensors = {str(key): item for key, item in table.items() if isinstance(item, Tensor)}
    if not tensors:
        return None
    layout = "a1111" if any(field in root for field in OWN_FIELDS) else "original"
    if len(tensors) > 1:
        several = [FoundVectors({key: tensor}, key=key) for key, tensor in tensors.items()]
        return Reading(layout, tuple(several))
    (key,) = tensors
    name, steps, remarks = trained(root)
    own = "" if key == NAMELESS else key
    return Reading(layout, (FoundVectors(tensors, name, own, steps=steps, remarks=remarks),))


def trained(root: Mapping[Any, Any]) -> tuple[str, int, str]:
    """Name, steps and a remark from the fields that AUTOMATIC1111 writes beside tensors."""
    step, remark = root.get("step"), ""
    checkpoint, short_hash = _text(root, "sd_checkpoint_name"), _text(root, "sd_checkpoint")
    if checkpoint or short_hash:
        remark = f"trained on checkpoint {checkpoint or 'unknown'}"
        remark += f" [{short_hash}]" if short_hash else ""
    steps = step if type(step) is int and 0 <= step < 1 << 40 else 0
    return _text(root, "name"), steps, remark


def _text(root: Mapping[Any, Any], field: str) -> str:
    value = root.get(field)
    return value[:LONGEST_REMARK] if isinstance(value, str) else ""


def read_encoder_keys(content: Content) -> Reading | None:
    """Read one concept with a tensor for each text encoder, as for SDXL, SD3 and Flux."""
    tensors = _tensors(content)
    if not tensors or not all(is_encoder_key(key) for key in tensors):
        return None
    kept = {key: item for key, item in tensors.items() if not key.endswith(AFTER)}
    if not kept:
        return None
    notes = tuple(left_out_note(content.origin, key) for key in tensors if key not in kept)
    token, steps, remarks = trained(content.root)
    found = FoundVectors(kept, token=token, steps=steps, remarks=remarks)
    return Reading("+".join(sorted(kept)), (found,), notes)


PREFIX = "bundle_emb."
# Where `ti` puts a concept's row, followed by `.NAME` if a file holds several.
EXPORTED_ROW = "ti.concept"


def read_bundle(content: Content) -> Reading | None:
    """Read tensors `bundle_emb.NAME.KEY` beside those of a LoRA, which is left out."""
    words: dict[str, dict[str, Tensor]] = {}
    notes: list[str] = []
    others = 0
    for key, item in _tensors(content).items():
        if not isinstance(key, str):
            continue
        # A name ends at its first dot.
        name, dot, part = key.removeprefix(PREFIX).partition(".")
        if not key.startswith(PREFIX) or not dot:
            others += 1
        elif is_encoder_key(part) and part.endswith(AFTER):
            notes.append(left_out_note(content.origin, key))
        else:
            words.setdefault(name, {})[part] = item
    if not words:
        return None
    if others:
        notes.append(f"{content.origin}: {others:,} tensors of a LoRA are left out")
    rows = {name: content.metadata.get(f"{EXPORTED_ROW}.{name}", "") for name in words}
    found = [FoundVectors(own, token=name, row=rows[name]) for name, own in words.items()]
    return Reading("bundle", tuple(found), tuple(notes))


MOST_WORDS = 64
Layout = Callable[[Content], Reading | None]


def find_words(content: Content) -> Reading:
    """Find the concepts of a container. Raises BadContent, naming what it is, if there is none."""
    for layout in LAYOUTS:
        reading = layout(content)
        if reading is not None:
            if len(reading.words) > MOST_WORDS:
                raise BadContent(
                    f"{content.origin} holds {len(reading.words):,} tensors: that is a whole "
                    "model, not an embedding",
                    WORD_HINT,
                )
            row = content.said.get(EXPORTED_ROW, "")
            if row and len(reading.words) == 1 and not reading.words[0].row:
                return replace(reading, words=(replace(reading.words[0], row=row),))
            return reading
    raise unknown_layout(content.root, content.origin)


def _read_own(content: Content) -> Reading | None:
    """Read a file of a library of `ti`: its keys are encoders, and the row is in the metadata."""
    if ROW not in content.metadata or not isinstance(content.root, Mapping):
        return None
    tensors: dict[str, Tensor] = dict(content.root)
    return Reading("ti", (FoundVectors(tensors, row=content.metadata[ROW]),))


def _read_bare(content: Content) -> Reading | None:
    if not isinstance(content.root, Tensor):
        return None
    return Reading("bare tensor", (FoundVectors({"": content.root}),))


def _refuse_others(content: Content) -> Any:
    refuse_other_kind(content.root, content.origin)


# A LoRA that brings a concept along is read before LoRAs are refused.
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
