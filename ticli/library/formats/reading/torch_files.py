"""Files of torch.save as content, zipped ones and those from before zip; torch is not needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ticli.errors import BadContent
from ticli.library.formats.reading.archive import Member, read_member, read_part
from ticli.library.formats.reading.content import Content, Tensor
from ticli.library.formats.reading.opened import LARGEST_FILE, Opened
from ticli.library.formats.reading.other_kinds import refuse_pickle
from ticli.library.formats.reading.pickled import (
    LARGEST_PICKLE,
    Storage,
    StoredTensor,
    UnreadablePickleError,
    read_pickle,
)
from ticli.library.formats.tensor_file import ITEM_BYTES, OTHER_BITS

PICKLE = "data.pkl"
# What torch.save began with before it wrote zip files: a pickle of its magic number.
MAGIC = 0x1950A86A20F9469CFC6C
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
LEGACY_VERSION = 1001
COUNT_BYTES = 8
MOST_STORAGES = 4096
DEEPEST = 8
SAFER = "ask whoever made it for a safetensors file"


@dataclass(frozen=True)
class _Numbers:
    """The storages of one file: `check` compares a size, `fetch(storage, start, length)` reads."""

    origin: str
    check: Callable[[Storage, int], None]
    fetch: Callable[[Storage, int, int], bytes]


def read_torch_zip(file: Opened, members: Mapping[str, Member], pickle: str) -> Content:
    """Describe what torch.save zipped; `pickle` names its member. Raises BadContent."""
    folder = pickle.removesuffix(PICKLE)
    if members[pickle].size > LARGEST_PICKLE:
        raise BadContent(f"{file.origin} is a whole model, not a learned word", SAFER)
    order = members.get(f"{folder}byteorder")
    if order is not None and (order.size > 16 or read_member(file, order) != b"little"):
        raise BadContent(
            f"{file.origin} has its numbers in another byte order", "save it again as safetensors"
        )

    def of(storage: Storage) -> Member:
        member = members.get(f"{folder}data/{storage.key}")
        if member is None:
            raise _damaged(file.origin, f"it has no numbers called {storage.key!r}")
        return member

    def check(storage: Storage, size: int) -> None:
        if of(storage).size != size:
            raise _damaged(file.origin, f"the numbers {storage.key!r} are not of the size it says")

    def fetch(storage: Storage, start: int, length: int) -> bytes:
        return read_part(file, of(storage), start, length)

    data = read_member(file, members[pickle])
    root, end = _read(data, 0, file.origin)
    if end != len(data):
        raise _damaged(file.origin, "something follows its pickle")
    return Content(
        file.origin, "torch zip", _described(root, _Numbers(file.origin, check, fetch), {}, 0)
    )


def read_torch_legacy(file: Opened) -> Content:
    """Describe what torch.save wrote before it knew zip: five pickles, then numbers.

    Raises BadContent.
    """
    if not file.is_small:
        raise BadContent(
            f"{file.origin} has {file.size / (1 << 20):,.0f} MiB: that is a whole model, not a "
            "learned word",
            "give the file of one learned word",
        )
    data = file.read(0, file.size)
    parts, position = [], 0
    for _ in range(5):
        part, position = _read(data, position, file.origin)
        parts.append(part)
    magic, version, machine, root, keys = parts
    little = isinstance(machine, dict) and machine.get("little_endian") is True
    if magic != MAGIC or version != LEGACY_VERSION or not little:
        raise _damaged(file.origin, "it does not begin as torch.save began")
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise _damaged(file.origin, "its list of numbers cannot be read")
    if len(keys) > MOST_STORAGES or len(set(keys)) != len(keys):
        raise _damaged(file.origin, "its list of numbers cannot be read")
    places = _Places(data, position, keys, file.origin)
    content = _described(root, _Numbers(file.origin, places.check, places.fetch), {}, 0)
    places.check_end()
    return Content(file.origin, "torch legacy", content)


class _Places:
    """Where the numbers of an old file lie: each run has its count before it.

    How long a number is stands in the pickle only, so runs are found as they are described.
    """

    def __init__(self, data: bytes, start: int, keys: list[str], origin: str) -> None:
        self.data, self.position, self.origin = data, start, origin
        self.waiting = keys
        self.sizes: dict[str, int] = {}
        self.starts: dict[str, int] = {}

    def check(self, storage: Storage, size: int) -> None:
        if self.sizes.setdefault(storage.key, size) != size:
            raise _damaged(self.origin, f"the numbers {storage.key!r} have two sizes")
        while self.waiting and self.waiting[0] in self.sizes:
            self.locate(self.waiting.pop(0))

    def locate(self, key: str) -> None:
        start = self.position + COUNT_BYTES
        count = int.from_bytes(self.data[self.position : start], "little")
        size = self.sizes[key]
        if start + size > len(self.data) or not count or size % count:
            raise _damaged(self.origin, f"the numbers {key!r} are not of the size it says")
        self.starts[key], self.position = start, start + size

    def check_end(self) -> None:
        if self.waiting or self.position != len(self.data) or len(self.starts) != len(self.sizes):
            raise _damaged(self.origin, "its numbers are cut off, or something follows them")

    def fetch(self, storage: Storage, start: int, length: int) -> bytes:
        first = self.starts[storage.key] + start
        return self.data[first : first + length]


def _read(data: bytes, start: int, origin: str) -> tuple[Any, int]:
    try:
        return read_pickle(data, start)
    except UnreadablePickleError as error:
        raise refuse_pickle(data, origin, str(error)) from error


def _described(value: Any, numbers: _Numbers, seen: dict[int, Any], depth: int) -> Any:
    """The root with tensors in place of stored ones; what is shared is described once."""
    if isinstance(value, StoredTensor):
        return _tensor(value, numbers)
    if not isinstance(value, dict) or depth > DEEPEST:
        return value
    if id(value) not in seen:
        seen[id(value)] = described = {}
        for key, item in value.items():
            described[key] = _described(item, numbers, seen, depth + 1)
    return seen[id(value)]


def _tensor(stored: StoredTensor, numbers: _Numbers) -> Tensor:
    storage, shape = stored.storage, stored.shape
    bytes_each = ITEM_BYTES.get(storage.dtype) or OTHER_BITS[storage.dtype] // 8
    size = storage.count * bytes_each
    if storage.count < 0 or stored.offset < 0 or any(length < 0 for length in shape):
        raise _damaged(numbers.origin, "a tensor has a negative size")
    if not _is_contiguous(shape, stored.strides):
        raise BadContent(
            f"{numbers.origin}: a tensor of shape {shape[:4]} has the strides "
            f"{stored.strides[:4]}: its numbers do not lie one after the other",
            SAFER,
        )
    count = math.prod(shape)
    if stored.offset + count > storage.count:
        raise _damaged(
            numbers.origin, f"a tensor of {count:,} numbers lies outside of its {storage.count:,}"
        )
    numbers.check(storage, size)
    start, length = stored.offset * bytes_each, count * bytes_each

    def fetch() -> bytes:
        if length > LARGEST_FILE:
            raise BadContent(f"{numbers.origin} is a whole model, not a learned word", SAFER)
        return numbers.fetch(storage, start, length)

    return Tensor(shape, storage.dtype, fetch)


def _is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether numbers lie one after the other; the stride of one row says nothing."""
    if len(shape) != len(strides):
        return False
    expected = 1
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True


def _damaged(origin: str, reason: str) -> BadContent:
    return BadContent(f"{origin} is damaged: {reason}", "fetch or copy the file again")
