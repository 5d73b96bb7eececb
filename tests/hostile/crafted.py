"""Pieces of hostile files: pickles that touch a marker, zips with lies in them, PNG chunks."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARKER = "MARKER"
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Case:
    """One hostile file or call of the corpus.

    `answer` is R (refused), A (accepted), W (accepted with a warning) or S (harmless). `build`
    writes files into a folder and returns the calls of `ti` to make; the last one is judged.
    `says` must be found in what a refusal says.
    """

    item: int
    name: str
    answer: str
    build: Callable[[Path], Sequence[Sequence[str]]]
    says: str = ""

    @property
    def id(self) -> str:
        return f"{self.item}-{self.name.replace(' ', '-')}"


def file_case(
    item: int,
    name: str,
    answer: str,
    content: bytes | Callable[[Path], bytes],
    says: str = "",
    file: str = "given.pt",
) -> Case:
    """A case of one file that is imported; its bytes may need to know where the marker lies."""

    def build(folder: Path) -> list[list[str]]:
        data = content(folder) if callable(content) else content
        (folder / file).write_bytes(data)
        return [["import", "--", file]]

    return Case(item, name, answer, build, says)


class Touch:
    """Pickled, this is a call that creates the marker."""

    def __init__(self, folder: Path) -> None:
        self.command = f"touch '{folder / MARKER}'"

    def __reduce__(self) -> Any:
        return (os.system, (self.command,))


class Call:
    """Pickled, this calls any function with any arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return (self.function, self.arguments)


def torch_saved(content: object, **options: Any) -> bytes:
    import torch

    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def vectors(width: int = 768, count: int = 1) -> Any:
    import torch

    return torch.linspace(-0.02, 0.03, width * count).reshape(count, width)


def good_bin() -> bytes:
    return torch_saved({"<mug>": vectors()})


def members_of(data: bytes) -> dict[str, bytes]:
    """The members of a zip by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: Iterable[tuple[str, bytes]], packed: Iterable[str] = ()) -> bytes:
    """A zip of members in order, names as they are, some of them packed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members:
            kind = zipfile.ZIP_DEFLATED if name in packed else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=kind)
    return stream.getvalue()


def torch_zip(pickled: bytes, storages: Sequence[bytes] = ()) -> bytes:
    """What torch.save writes, around a pickle of ours."""
    members = [("archive/data.pkl", pickled), ("archive/byteorder", b"little")]
    members += [(f"archive/data/{n}", data) for n, data in enumerate(storages)]
    return zipped([*members, ("archive/version", b"3\n")])


def with_pickle(pickled: bytes) -> bytes:
    """A good file with its pickle exchanged."""
    members = members_of(good_bin())
    return zipped((n, pickled if n.endswith("data.pkl") else d) for n, d in members.items())


def tensor_pickle(
    kind: bytes = b"torch\nFloatStorage",
    count: int = 768,
    offset: int = 0,
    shape: Sequence[int] = (1, 768),
    strides: Sequence[int] = (768, 1),
    tail: bytes = b"",
) -> bytes:
    """The pickle of {"<mug>": tensor} as torch writes it, with any numbers in it; no STOP after
    `tail`, which stands in place of it."""

    def number(value: int) -> bytes:
        data = value.to_bytes(8, "little", signed=True)
        return b"\x8a\x08" + data

    def numbers(values: Sequence[int]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    return (
        b"\x80\x02}(" + text("<mug>") + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + text("storage") + b"c" + kind + b"\n" + text("0") + text("cpu") + number(count) + b"tQ"
        + number(offset) + numbers(shape) + numbers(strides)
        + b"\x89ccollections\nOrderedDict\n)RtRu" + (tail or b".")
    )  # fmt: skip


def tensor_zip(storage: bytes = bytes(3072), **lies: Any) -> bytes:
    """A torch file of one tensor, described by lies."""
    return torch_zip(tensor_pickle(**lies), [storage])


def legacy(root: bytes, keys: Sequence[str] = (), storages: bytes = b"") -> bytes:
    """The five pickles of old torch files around a root pickle, then storages."""
    head = [
        pickle.dumps(value, 2)
        for value in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001,
                      "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}})
    ]  # fmt: skip
    return b"".join([*head, root, pickle.dumps(list(keys), 2), storages])


def patched(data: bytes, position: int, layout: str, *values: Any) -> bytes:
    """Bytes with a few of them written over."""
    raw = bytearray(data)
    struct.pack_into(layout, raw, position, *values)
    return bytes(raw)


def safetensors(header: Any, buffer: bytes = b"") -> bytes:
    """A safetensors file of any header, legal or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + buffer


def entry(shape: Sequence[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def rows_bytes(width: int = 768, count: int = 1) -> bytes:
    return vectors(width, count).numpy().tobytes()


def word(key: str = "<mug>", metadata: dict[str, Any] | None = None, width: int = 768) -> bytes:
    """A good safetensors word under any key and metadata."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata is not None else {}
    header[key] = entry((1, width), 0, width * 4)
    return safetensors(header, rows_bytes(width))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    *chunks: bytes, width: int = 4, height: int = 4, depth: int = 8, pixels: bytes | None = None
) -> bytes:
    """A grey PNG with chunks of ours before its pixels."""
    if pixels is None:
        pixels = b"".join(b"\0" + bytes([200] * width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return (
        PNG + chunk(b"IHDR", header) + b"".join(chunks)
        + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    )  # fmt: skip


def a1111_json(rows: Any, **fields: Any) -> str:
    """AUTOMATIC1111's document of a word."""
    document = {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": {"TORCHTENSOR": rows}},
        "name": "mug",
        "step": 10,
        "sd_checkpoint": None,
        "sd_checkpoint_name": None,
    }
    return json.dumps(document | fields)


def text_chunk(document: str | bytes, kind: bytes = b"tEXt", encoded: bool = True) -> bytes:
    """The chunk in which a document travels."""
    raw = document.encode() if isinstance(document, str) else document
    text = base64.b64encode(raw) if encoded else raw
    keyword = b"sd-ti-embedding\0"
    if kind == b"tEXt":
        return chunk(kind, keyword + text)
    if kind == b"zTXt":
        return chunk(kind, keyword + b"\0" + zlib.compress(text))
    return chunk(kind, keyword + b"\0\0\0\0" + text)


def card(document: bytes, height: int = 32, packed: bytes | None = None) -> bytes:
    """A PNG card that carries a document in its pixels, written apart from the product's code."""
    import numpy as np
    from PIL import Image

    data = zlib.compress(document, 9) if packed is None else packed
    unit = 3 * height
    data = (data * (unit // len(data) + 2))[: -(-len(data) // unit) * unit]
    state, noise = 0, []
    for _ in data:
        state = (state * 1664525 + 1013904223) % 2**32
        noise.append(state % 255 & 15)
    halves = [
        np.array([(half ^ n) | 0x50 for half, n in zip(part, noise, strict=True)], np.uint8)
        for part in ([b & 15 for b in data], [b >> 4 for b in data])
    ]
    low, high = (half.reshape(height, -1, 3) for half in halves)
    black = np.zeros((height, 1, 3), np.uint8)
    middle = np.full((height, 24, 3), 0x77, np.uint8)
    stream = io.BytesIO()
    Image.fromarray(np.hstack([low, black, middle, black, high])).save(stream, "PNG")
    return stream.getvalue()
