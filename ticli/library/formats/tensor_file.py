"""The safetensors layout: read without trusting it, written the same bytes for the same content."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ticli.errors import BadContent

if TYPE_CHECKING:
    from ticli.concept import Vectors

LARGEST_HEADER = 8 << 20
LARGEST_METADATA = 1 << 20
MOST_TENSORS = 64
ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
LENGTH_BYTES = 8


@dataclass(frozen=True)
class TensorFile:
    """A parsed file: string metadata and float32 arrays by key, in the order of their bytes."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, Vectors]


@dataclass(frozen=True)
class _Entry:
    key: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def looks_like_tensor_file(data: bytes) -> bool:
    """Whether bytes begin as a safetensors file does: a length, then a JSON object."""
    return len(data) > LENGTH_BYTES and data[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{"


def parse_tensor_file(data: bytes, origin: str) -> TensorFile:
    """Read a safetensors file from memory; float16, bfloat16 and float64 become float32.

    Stricter than the format: no duplicate keys, bounded header, metadata and number of tensors;
    like it: no gaps, overlaps or trailing bytes. Raises BadContent naming `origin`.
    """
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    if not looks_like_tensor_file(data) or length > len(data) - LENGTH_BYTES:
        raise _damaged(origin, "its header is cut off or no header at all")
    if length > LARGEST_HEADER:
        raise _damaged(origin, f"its header is larger than {LARGEST_HEADER >> 20} MiB")
    header = _parse_header(data[LENGTH_BYTES : LENGTH_BYTES + length], origin)
    metadata = _check_metadata(header.pop("__metadata__", {}), origin)
    if len(header) > MOST_TENSORS:
        raise BadContent(
            f"{origin} holds {len(header)} tensors: that is a whole model, not an embedding",
            "give the file of one learned word",
        )
    entries = [_parse_entry(key, value, origin) for key, value in header.items()]
    entries.sort(key=lambda entry: (entry.start, entry.end))
    buffer = memoryview(data)[LENGTH_BYTES + length :]
    position = 0
    for entry in entries:
        if entry.start != position:
            raise _damaged(origin, f"tensor {entry.key!r} overlaps another or leaves a gap")
        position = entry.end
    if position != len(buffer):
        raise _damaged(origin, f"{len(buffer):,} bytes of tensors, {position:,} announced")
    return TensorFile(
        metadata,
        {
            entry.key: as_float32(buffer[entry.start : entry.end], entry.dtype).reshape(entry.shape)
            for entry in entries
        },
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
    def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) != len(pairs):
            raise ValueError("a key stands twice")
        return mapping

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=refuse_duplicates)
        # Half a surrogate pair passes for JSON, and no other file can hold it.
        json.dumps(header, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise _damaged(origin, f"its header cannot be read: {error}") from error
    if not isinstance(header, dict):
        raise _damaged(origin, "its header is no JSON object")
    return header


def _check_metadata(metadata: Any, origin: str) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _damaged(origin, "its metadata is not text by text")
    if sum(len(key) + len(value) for key, value in metadata.items()) > LARGEST_METADATA:
        raise _damaged(origin, f"its metadata is larger than {LARGEST_METADATA >> 20} MiB")
    return metadata


def _parse_entry(key: str, value: Any, origin: str) -> _Entry:
    try:
        dtype, shape, (start, end) = value["dtype"], value["shape"], value["data_offsets"]
        if not isinstance(dtype, str) or value.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError("a type, a shape, offsets, and nothing else")
        if not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
            raise ValueError("sizes are whole numbers")
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise _damaged(origin, f"tensor {key!r} is described wrongly") from error
    if dtype not in ITEM_BYTES:
        raise BadContent(
            f"{origin}: tensor {key!r} has numbers of type {dtype!r}, and vectors are "
            f"{', '.join(ITEM_BYTES)}",
            "give the file of one learned word",
        )
    if len(shape) > 8 or math.prod(shape) * ITEM_BYTES[dtype] != end - start:
        raise _damaged(origin, f"tensor {key!r} does not have the size of its shape")
    return _Entry(key, dtype, tuple(shape), start, end)


def _damaged(origin: str, reason: str) -> BadContent:
    return BadContent(f"{origin} is damaged: {reason}", "fetch or copy the file again")
