"""The safetensors layout: read without trusting it, written the same bytes for the same content."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ticli.errors import BadContent

if TYPE_CHECKING:
    from ticli.concept import Vectors


# Every list and mapping takes some 200 bytes of memory however short its text is.
MOST_CONTAINERS = 400_000


def parse_json(text: bytes, largest: int) -> Any:
    """Parse UTF-8 JSON of at most `largest` bytes. Raises ValueError.

    Refused too: a key twice in one mapping, numbers that are not finite, halves of surrogate
    pairs, nesting without end, and more lists and mappings than any honest file has.
    """
    if len(text) > largest:
        raise ValueError(f"more than {largest >> 20} MiB of JSON")
    if text.count(b"{") + text.count(b"[") > MOST_CONTAINERS:
        raise ValueError("too many parts")
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_constant=_refuse_constant,
        )
        if b"\\u" in text:
            # Half a surrogate pair passes for JSON, and no other file can hold it.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key occurs twice")
    return mapping


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


LARGEST_HEADER = 8 << 20
LARGEST_METADATA = 1 << 20
MOST_NAMES = 65_536
MOST_TENSORS = 64
ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
# Types that no word has, but that may stand beside one.
OTHER_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16"), 16),
    **dict.fromkeys(("U32", "I32"), 32),
    **dict.fromkeys(("U64", "I64", "C64"), 64),
}
LENGTH_BYTES = 8


@dataclass(frozen=True)
class TensorFile:
    """A parsed file: string metadata and float32 arrays by key, in the order of their bytes."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, Vectors]


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a header; its bytes lie from `start` to `end` of the file."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file says of itself; `start` is where the bytes of its tensors begin."""

    metadata: Mapping[str, str]
    entries: tuple[TensorEntry, ...]
    start: int


def looks_like_tensor_file(data: bytes) -> bool:
    """Whether bytes begin as a safetensors file does: a length, then a JSON object."""
    return len(data) > LENGTH_BYTES and data[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{"


def read_header(read: Callable[[int, int], bytes], size: int, origin: str) -> Header:
    """Read the header of a file of `size` bytes, of which `read(start, length)` gives parts.

    Stricter than the format: no duplicate keys, bounded header, metadata and number of tensors;
    like it: no gaps, overlaps or trailing bytes. Raises BadContent naming `origin`.
    """
    head = read(0, min(size, LENGTH_BYTES + 1))
    length = int.from_bytes(head[:LENGTH_BYTES], "little")
    if not looks_like_tensor_file(head) or length > size - LENGTH_BYTES:
        raise _damaged(origin, "its header is cut off or missing")
    if length > LARGEST_HEADER:
        raise _damaged(origin, f"its header is larger than {LARGEST_HEADER >> 20} MiB")
    header = _parse_header(read(LENGTH_BYTES, length), origin)
    metadata = _check_metadata(header.pop("__metadata__", {}), origin)
    if len(header) > MOST_NAMES:
        raise too_many(origin, len(header))
    start = LENGTH_BYTES + length
    entries = [_parse_entry(key, value, start, origin) for key, value in header.items()]
    entries.sort(key=lambda entry: (entry.start, entry.end))
    position = start
    for entry in entries:
        if entry.start != position:
            raise _damaged(origin, f"tensor {entry.key!r} overlaps another or leaves a gap")
        position = entry.end
    if position != size:
        raise _damaged(origin, f"{size - start:,} bytes of tensors, {position - start:,} announced")
    return Header(metadata, tuple(entries), start)


def parse_tensor_file(data: bytes, origin: str) -> TensorFile:
    """Read a whole file of few tensors; float16, bfloat16 and float64 become float32.

    Raises BadContent naming `origin` as read_header does, and for more tensors than a word has.
    """
    view = memoryview(data)
    header = read_header(
        lambda start, length: bytes(view[start : start + length]), len(data), origin
    )
    if len(header.entries) > MOST_TENSORS:
        raise too_many(origin, len(header.entries))
    tensors = {}
    for entry in header.entries:
        if entry.dtype not in ITEM_BYTES:
            raise BadContent(
                f"{origin}: tensor {entry.key!r} has numbers of type {entry.dtype!r}, and vectors "
                f"are {', '.join(ITEM_BYTES)}",
                "give the embedding file of one concept",
            )
        numbers = as_float32(view[entry.start : entry.end], entry.dtype)
        tensors[entry.key] = numbers.reshape(entry.shape)
    return TensorFile(header.metadata, tensors)


def too_many(origin: str, count: int) -> BadContent:
    """The refusal of a file with more tensors than words have."""
    return BadContent(
        f"{origin} holds {count:,} tensors: that is a whole model, not an embedding",
        "give the embedding file of one concept",
    )


def build_tensor_file(tensors: Mapping[str, Vectors], metadata: Mapping[str, str]) -> bytes:
    """Write float32 arrays as safetensors; equal content gives equal bytes, keys being sorted.

    The safetensors library orders metadata differently in every process, and the hash of these
    bytes is a concept's address.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    pieces, position = [], 0
    for key, tensor in sorted(tensors.items()):
        piece = tensor.astype("<f4", order="C").tobytes()
        header[key] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [position, position + len(piece)],
        }
        position += len(piece)
        pieces.append(piece)
    text = json.dumps(header, separators=(",", ":")).encode()
    # Readers map the tensors straight from the file, which wants them aligned.
    text += b" " * (-len(text) % LENGTH_BYTES)
    return b"".join([len(text).to_bytes(LENGTH_BYTES, "little"), text, *pieces])


def as_float32(data: bytes | memoryview, dtype: str) -> Vectors:
    """Turn the bytes of a tensor, of a type in ITEM_BYTES, into flat float32."""
    import numpy as np

    if dtype == "BF16":
        # bfloat16 is the upper half of a float32.
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    kind = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]
    with np.errstate(over="ignore"):
        return np.frombuffer(data, kind).astype(np.float32)


def _parse_header(text: bytes, origin: str) -> dict[str, Any]:
    try:
        header = parse_json(text, LARGEST_HEADER)
    except ValueError as error:
        raise _damaged(origin, f"its header cannot be read: {error}") from error
    if not isinstance(header, dict):
        raise _damaged(origin, "its header is not a JSON object")
    return header


def _check_metadata(metadata: Any, origin: str) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _damaged(origin, "its metadata is not text by text")
    if sum(len(key) + len(value) for key, value in metadata.items()) > LARGEST_METADATA:
        raise _damaged(origin, f"its metadata is larger than {LARGEST_METADATA >> 20} MiB")
    return metadata


def _parse_entry(key: str, value: Any, base: int, origin: str) -> TensorEntry:
    try:
        dtype, shape, (start, end) = value["dtype"], value["shape"], value["data_offsets"]
        if not isinstance(dtype, str) or value.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError("a type, a shape, offsets, and nothing else")
        if not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
            raise ValueError("sizes are whole numbers")
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise _damaged(origin, f"tensor {key!r} is described wrongly") from error
    bits = ITEM_BYTES[dtype] * 8 if dtype in ITEM_BYTES else OTHER_BITS.get(dtype)
    if len(shape) > 8 or end < start:
        raise _damaged(origin, f"tensor {key!r} is described wrongly")
    if bits is not None and math.prod(shape) * bits != (end - start) * 8:
        raise _damaged(origin, f"tensor {key!r} does not have the size of its shape")
    return TensorEntry(key, dtype, tuple(shape), base + start, base + end)


def _damaged(origin: str, reason: str) -> BadContent:
    return BadContent(f"{origin} is damaged: {reason}", "fetch or copy the file again")
