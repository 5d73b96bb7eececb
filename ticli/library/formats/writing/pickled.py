"""PyTorch's pickled files, written opcode by opcode: no torch, no member that a reader refuses.

The zip holds what the oldest strict reader expects and nothing that later versions of torch add.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ticli.concept import Vectors

# Any fixed time will do: the same content gives the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)
FORMAT_VERSION = b"3\n"


@dataclass(frozen=True)
class Tensor:
    """Numbers as they lie in a file. `storage` is a type of torch, such as FloatStorage."""

    storage: str
    data: bytes
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Called:
    """The result of calling something that readers allow, written as "module name"."""

    function: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Built:
    """An object of a class, written as "module name", with the state it is given."""

    type: str
    state: Mapping[str, Any]


def float_tensor(rows: Vectors) -> Tensor:
    """Rows of shape (vectors, width) as a float32 tensor with a storage of its own."""
    return Tensor("FloatStorage", rows.astype("<f4", order="C").tobytes(), rows.shape)


def whole_tensor(number: int) -> Tensor:
    """One whole number as a tensor without dimensions."""
    return Tensor("LongStorage", struct.pack("<q", number), ())


def empty_dict() -> Called:
    """An empty OrderedDict."""
    return Called("collections OrderedDict", ())


def pickled_file(content: Mapping[str, Any]) -> bytes:
    """The bytes of a .pt file that holds `content`: texts, numbers, None, mappings and tensors."""
    storages: list[bytes] = []
    program = b"\x80\x02" + _encoded(content, storages) + b"."
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        add_stored(archive, "archive/data.pkl", program)
        for number, data in enumerate(storages):
            add_stored(archive, f"archive/data/{number}", data)
        add_stored(archive, "archive/version", FORMAT_VERSION)
    return file.getvalue()


def add_stored(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a member as it is, with nothing of this machine or moment."""
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def _encoded(value: Any, storages: list[bytes]) -> bytes:
    """One value as pickle opcodes of protocol 2 that leave it on the stack."""
    for kind, encode in ENCODERS:
        if isinstance(value, kind):
            return encode(value, storages)
    raise TypeError(f"{type(value).__name__} has no place in such a file")


def _nothing(value: None, storages: list[bytes]) -> bytes:
    return b"N"


def _truth(value: bool, storages: list[bytes]) -> bytes:
    return b"\x88" if value else b"\x89"


def _whole(value: int, storages: list[bytes]) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def _text(value: str, storages: list[bytes]) -> bytes:
    text = value.encode()
    return b"X" + struct.pack("<I", len(text)) + text


def _mapping(value: Mapping[str, Any], storages: list[bytes]) -> bytes:
    pairs = [_encoded(item, storages) for pair in value.items() for item in pair]
    return b"}(" + b"".join(pairs) + b"u"


def _sequence(value: tuple[Any, ...], storages: list[bytes]) -> bytes:
    if not value:
        return b")"
    return b"(" + b"".join(_encoded(item, storages) for item in value) + b"t"


def _named(name: str) -> bytes:
    return b"c" + name.replace(" ", "\n").encode() + b"\n"


def _call(value: Called, storages: list[bytes]) -> bytes:
    return _named(value.function) + _sequence(value.arguments, storages) + b"R"


def _object(value: Built, storages: list[bytes]) -> bytes:
    return _named(value.type) + b")\x81" + _mapping(value.state, storages) + b"b"


def _tensor(value: Tensor, storages: list[bytes]) -> bytes:
    """torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, gradient, hooks)."""
    number = len(storages)
    storages.append(value.data)
    strides: tuple[int, ...] = ()
    count = 1
    for length in reversed(value.shape):
        strides, count = (count, *strides), count * length
    parts = (
        b"("
        + _text("storage", storages)
        + _named(f"torch {value.storage}")
        + _text(str(number), storages)
        + _text("cpu", storages)
        + _whole(count, storages)
        + b"tQ"
        + _whole(0, storages)
        + _sequence(value.shape, storages)
        + _sequence(strides, storages)
        + _truth(False, storages)
        + _call(empty_dict(), storages)
    )
    return _named("torch._utils _rebuild_tensor_v2") + b"(" + parts + b"tR"


# bool is an int to Python, and so comes first.
ENCODERS: tuple[tuple[type, Callable[[Any, list[bytes]], bytes]], ...] = (
    (type(None), _nothing),
    (bool, _truth),
    (int, _whole),
    (str, _text),
    (Mapping, _mapping),
    (tuple, _sequence),
    (Called, _call),
    (Built, _object),
    (Tensor, _tensor),
)
