"""The layouts that can be read, tried in order; keys decide, never the file's name."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
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
    # HCP-Diffusion's names.
    "clip_L": "clip_l",
    "clip_bigG": "clip_g",
}
# HCP-Diffusion lays the rows of SDXL's two encoders side by side, this many of CLIP-L first.
SIDE_BY_SIDE, CLIP_L_WIDTH = 2048, 768
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

    Where a file has T5's vectors under two names, those of `t5` count: OneTrainer learns these and
    keeps the others as they were. Raises BadContent for a width that no encoder takes, and for two
    other tensors of one encoder that differ.
    """
    import numpy as np

    rows: dict[str, Vectors] = {}
    for key, tensor in tensors.items():
        table = load_rows(tensor, key, origin)
        if table.shape[1] == SIDE_BY_SIDE and key == NAMELESS:
            rows = {"clip_l": table[:, :CLIP_L_WIDTH], "clip_g": table[:, CLIP_L_WIDTH:]}
            continue
        encoder = _encoder(key, int(table.shape[1]), widths, origin)
        if key == T5_AT_COMFYUI and T5 in tensors:
            continue
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

    `token` was stored as its name; `key` is the name of its tensor if that is a word. `checkpoint`
    is the name and the short hash of the model it was learned on. `row` is the JSON of a whole row
    of a library of `ti`.
    """

    tensors: Mapping[str, Tensor]
    token: str = ""
    key: str = ""
    steps: int = 0
    checkpoint: tuple[str, str] = ("", "")
    row: str = ""


@dataclass(frozen=True)
class Reading:
    """The concepts of a container, the name of its layout, what was left out, and what is odd."""

    layout: str
    words: tuple[FoundVectors, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


# One encoder, called `t5` by OneTrainer and diffusers' scripts, `t5xxl` by ComfyUI.
T5, T5_AT_COMFYUI = "t5", "t5xxl"
# Keys of a lone tensor that name nothing.
KEYS = ("emb_params", "emp_params", "*")


def read_named_parameter(content: Content) -> Reading | None:
    """Read a file whose one tensor has a key that is no name.

    ai-toolkit puts name and step as JSON into the metadata.
    """
    tensors = _tensors(content)
    for key in KEYS:
        if key in tensors and tensors.keys() <= {key, key + AFTER}:
            left_out = (_left_out(content, key, tensors),) if len(tensors) == 2 else ()
            name, steps, checkpoint = trained(content)
            found = FoundVectors({key: tensors[key]}, name, "", steps, checkpoint)
            return Reading(key if key != "*" else "diffusers", (found,), left_out)
    return None


def _left_out(content: Content, key: str, tensors: Mapping[Any, Tensor]) -> str:
    """The note for vectors behind the text encoder. Raises BadContent if there are no others."""
    if key in tensors and not load_rows(tensors[key], key, content.origin).any():
        raise BadContent(
            f"{content.origin} is an output embedding of OneTrainer: {key!r} is all zeros, and "
            f"what was learned is in {key + AFTER!r}, behind the text encoder",
            "learn it in OneTrainer again without an output embedding; only OneTrainer uses these",
        )
    return left_out_note(content.origin, key + AFTER)


def left_out_note(origin: str, key: str) -> str:
    """Say that vectors behind a text encoder are left out."""
    return (
        f"{origin}: {key!r} is left out: these vectors were trained behind the text encoder, "
        "where only OneTrainer puts them"
    )


def read_diffusers(content: Content) -> Reading | None:
    """Read tensors under their words; None if a key of another layout is among them."""
    tensors = _tensors(content)
    words = [key for key in tensors if isinstance(key, str) and key.strip()]
    if not words or len(words) != len(tensors):
        return None
    if any(key in KEYS or is_encoder_key(key) for key in words):
        return None
    return Reading("diffusers", _keyed(tensors))


IN_BRACKETS = re.compile(r"<[^<>]+>(_\d+)?")


def read_beside_lora(content: Content) -> Reading | None:
    """Read tensors under `<words>` beside those of a LoRA (pivotal tuning), which is left out."""
    tensors = _tensors(content)
    words = {k: item for k, item in tensors.items() if IN_BRACKETS.fullmatch(str(k))}
    others = len(tensors) - len(words)
    if not words or not others or not all(isinstance(key, str) for key in tensors):
        return None
    return Reading("diffusers", _keyed(words), (_lora_note(content.origin, others),))


def _lora_note(origin: str, count: int) -> str:
    return f"{origin}: {count:,} tensors of a LoRA are left out"


def _keyed(tensors: Mapping[str, Tensor]) -> tuple[FoundVectors, ...]:
    """A concept for each key; `<mug>_1`, `<mug>_2` … are further vectors of `<mug>`."""
    words: dict[str, list[Tensor]] = {}
    for key, item in tensors.items():
        first, _, number = key.rpartition("_")
        if first in words and number == str(len(words[first])) and _alike(words[first][0], item):
            words[first].append(item)
        else:
            words[key] = [item]
    return tuple(FoundVectors({key: _stacked(parts)}, key=key) for key, parts in words.items())


def _alike(first: Tensor, second: Tensor) -> bool:
    return (first.dtype, first.shape[-1:]) == (second.dtype, second.shape[-1:])


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """Tensors of one width as one, row under row."""
    if len(parts) == 1:
        return parts[0]
    count = sum(part.shape[0] if len(part.shape) == 2 else 1 for part in parts)
    shape = (count, *parts[0].shape[-1:])
    return Tensor(shape, parts[0].dtype, lambda: b"".join(part.read() for part in parts))


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
    if isinstance(table.get(NAMELESS), Mapping):
        # HCP-Diffusion has a tensor for each encoder of SDXL there.
        table = table[NAMELESS]
    tensors = {str(key): item for key, item in table.items() if isinstance(item, Tensor)}
    if not tensors:
        return None
    layout = "a1111" if any(field in root for field in OWN_FIELDS) else "original"
    name, steps, checkpoint = trained(content)
    if len(tensors) > 1 and not all(map(is_encoder_key, tensors)):
        several = [FoundVectors({key: tensor}, key=key) for key, tensor in tensors.items()]
        return Reading(layout, tuple(several))
    key = next(iter(tensors))
    own = "" if key == NAMELESS or len(tensors) > 1 else key
    return Reading(layout, (FoundVectors(tensors, name, own, steps, checkpoint),))


def trained(content: Content) -> tuple[str, int, tuple[str, str]]:
    """Name, steps, and the checkpoint with its hash, as AUTOMATIC1111 writes them beside tensors.

    ai-toolkit writes the same as JSON into the metadata.
    """
    root = content.root if isinstance(content.root, Mapping) else {}
    found = {key: root.get(key, content.metadata.get(key)) for key in OWN_FIELDS}
    for key, value in found.items():
        if isinstance(value, str) and key in content.metadata:
            with contextlib.suppress(ValueError):
                found[key] = parse_json(value[:LONGEST_SAID].encode(), LONGEST_SAID)
    step = found["step"]
    texts = {k: v[:LONGEST_REMARK] for k, v in found.items() if isinstance(v, str)}
    checkpoint, short_hash = texts.get("sd_checkpoint_name", ""), texts.get("sd_checkpoint", "")
    steps = step if type(step) is int and 0 <= step < 1 << 40 else 0
    return texts.get("name", ""), steps, (checkpoint or short_hash, short_hash)


def read_encoder_keys(content: Content) -> Reading | None:
    """Read one concept with a tensor for each text encoder, as for SDXL, SD3 and Flux."""
    tensors = _tensors(content)
    if not tensors or not all(is_encoder_key(key) for key in tensors):
        return None
    kept = {key: item for key, item in tensors.items() if not key.endswith(AFTER)}
    if not kept:
        return None
    ends = [key.removesuffix(AFTER) for key in tensors if key.endswith(AFTER)]
    notes = [_left_out(content, key, tensors) for key in ends]
    odd = _unlike(kept, content.origin) if {T5, T5_AT_COMFYUI} <= kept.keys() else []
    token, steps, checkpoint = trained(content)
    found = FoundVectors(kept, token, "", steps, checkpoint)
    return Reading("+".join(sorted(kept)), (found,), tuple(notes), tuple(odd))


def _unlike(tensors: Mapping[str, Tensor], origin: str) -> list[str]:
    """Say it if the two names of T5's vectors hold different ones."""
    if tensors[T5].read() == tensors[T5_AT_COMFYUI].read():
        return []
    return [
        f"{origin}: {T5!r} and {T5_AT_COMFYUI!r} differ, and {T5!r} is taken: OneTrainer learns "
        "that one, and keeps the other as it was"
    ]


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
        # A name may have dots of its own, and ends before the last known key.
        name, dot, part = key.removeprefix(PREFIX).rpartition(".")
        name = name.removesuffix(f".{KEY}")
        known = part in KEYS or is_encoder_key(part)
        if not key.startswith(PREFIX) or not dot or not known:
            others += 1
        elif is_encoder_key(part) and part.endswith(AFTER):
            notes.append(left_out_note(content.origin, key))
        else:
            words.setdefault(name, {})[part] = item
    if not words:
        return None
    if others:
        notes.append(_lora_note(content.origin, others))
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
    read_beside_lora,
    _refuse_others,
    read_encoder_keys,
    read_named_parameter,
    read_diffusers,
)
