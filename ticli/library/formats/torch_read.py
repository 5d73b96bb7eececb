"""Files of torch.save as content, zipped ones and those from before zip; torch is not needed."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ticli.errors import BadContent
from ticli.library.formats.containers import LARGEST_FILE, Content, Opened, Tensor, refuse_pickle
from ticli.library.formats.tensor_file import ITEM_BYTES, OTHER_BITS
from ticli.library.formats.zip import Member, read_member, read_part

# Pickles read as data: no name in them is looked up, nothing is called, no size is believed.

MOST_OPERATIONS = 500_000
DEEPEST_STACK = 50_000
LARGEST_PICKLE = 16 << 20
LONGEST_TEXT = 1 << 20
LONGEST_NAME = 200
# Keys that are compared by value only, and that no choice of numbers makes slow.
LARGEST_KEY = 1 << 31

ORDERED = "collections.OrderedDict"
PARAMETERS = "torch.nn.modules.container.ParameterDict"
SETS = ("__builtin__.set", "builtins.set")
TENSOR = "torch._utils._rebuild_tensor_v2"
PARAMETER = "torch._utils._rebuild_parameter"
# torch's names of number types, and those of safetensors.
DTYPES = {
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.DoubleStorage": "F64",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
    "torch.ComplexFloatStorage": "C64",
}
KNOWN = {ORDERED, PARAMETERS, TENSOR, PARAMETER, *SETS, *DTYPES}


class UnreadablePickleError(Exception):
    """A pickle that is more than data, or broken; the text completes "it …", a hint may follow."""


# Protocols that torch.save writes only where asked to.
NEWER = (3, 4, 5)
SAVE_AGAIN = "ti reads protocol 2, which torch.save writes by itself; ask for a safetensors file"


@dataclass(frozen=True)
class Name:
    """A name in a pickle that would be looked up by others; here it is text."""

    text: str


@dataclass(frozen=True)
class Storage:
    """A run of numbers kept elsewhere in the file, as the pickle describes it."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """A table over a storage, as the pickle describes it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class ParameterTable(dict[Any, Any]):
    """A torch.nn.ParameterDict: its parameters by name."""


# Where on the stack a list or tuple begins.
MARK = object()


def read_pickle(data: bytes, start: int = 0) -> tuple[Any, int]:
    """Read one pickle of protocol 2; return its value and the position after it.

    Values are None, truth, numbers, text, lists, tuples, dicts and the records of this module.
    Raises UnreadablePickleError.
    """
    machine = _Machine(data, start)
    try:
        return machine.run(), machine.position
    except (struct.error, IndexError) as error:
        raise UnreadablePickleError("is cut off") from error
    except (TypeError, ValueError, UnicodeDecodeError) as error:
        raise UnreadablePickleError("does not follow the rules of pickles") from error


class _Machine:
    """The stack, the memo, and where in the bytes the machine stands."""

    def __init__(self, data: bytes, start: int) -> None:
        self.data = data
        self.position = start
        self.end = min(len(data), start + LARGEST_PICKLE)
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        head = self.take(2)
        if head[:1] == b"\x80" and head[1] in NEWER:
            raise UnreadablePickleError(f"is of protocol {head[1]}", SAVE_AGAIN)
        if head != b"\x80\x02":
            raise UnreadablePickleError("is not the kind of pickle that torch writes")
        for _ in range(MOST_OPERATIONS):
            code = self.take(1)
            if code == b".":
                if len(self.stack) != 1:
                    raise UnreadablePickleError("does not end on one value")
                return self.stack.pop()
            operation = OPERATIONS.get(code)
            if operation is None:
                raise UnreadablePickleError(
                    f"uses the operation 0x{code.hex()}, which no embedding needs"
                )
            operation(self)
            if len(self.stack) > DEEPEST_STACK:
                break
        raise UnreadablePickleError("has more parts than any embedding")

    def take(self, length: int) -> bytes:
        if length < 0 or self.position + length > self.end:
            raise UnreadablePickleError("is cut off")
        self.position += length
        return self.data[self.position - length : self.position]

    def number(self, layout: str) -> Any:
        (value,) = struct.unpack(layout, self.take(struct.calcsize(layout)))
        return value

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def text(self) -> None:
        length = self.number("<I")
        if length > LONGEST_TEXT:
            raise UnreadablePickleError("holds a text longer than any embedding has")
        self.push(self.take(length).decode("utf-8"))

    def name(self) -> None:
        end = self.position
        for _ in range(2):
            end = self.data.find(b"\n", end, end + LONGEST_NAME) + 1
            if not end:
                raise UnreadablePickleError("is cut off")
        module, name, _ = self.take(end - self.position).split(b"\n")
        text = f"{module.decode('ascii', 'replace')}.{name.decode('ascii', 'replace')}"
        if text not in KNOWN:
            raise UnreadablePickleError(f"asks for {text!r}, which no embedding needs")
        self.push(Name(text))

    def since_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is MARK:
                items = self.stack[index + 1 :]
                del self.stack[index:]
                return items
        raise UnreadablePickleError("does not follow the rules of pickles")

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise UnreadablePickleError("does not follow the rules of pickles")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.push(items)

    def remember(self, key: int) -> None:
        self.memo[key] = self.stack[-1]

    def recall(self, key: int) -> None:
        if key not in self.memo:
            raise UnreadablePickleError("does not follow the rules of pickles")
        self.push(self.memo[key])

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise UnreadablePickleError("appends to what is no list")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise UnreadablePickleError("puts items into what is no mapping")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_checked_key(key)] = value

    def pair(self) -> list[Any]:
        value, key = self.stack.pop(), self.stack.pop()
        return [key, value]

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Name) or type(arguments) is not tuple:
            raise UnreadablePickleError("calls what is no name")
        self.push(_made(function.text, arguments))

    def new(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        if kind != Name(PARAMETERS) or arguments != ():
            raise UnreadablePickleError("makes an object that no embedding needs")
        self.push(ParameterTable())

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(state) is not dict:
            raise UnreadablePickleError("sets the state of an object to what is no mapping")
        if isinstance(target, ParameterTable):
            parameters = state.get("_parameters")
            if type(parameters) is not dict:
                raise UnreadablePickleError("has a ParameterDict without parameters")
            target.update(parameters)
        elif type(target) is not dict:
            # The attributes of an OrderedDict, as whole models have them, say nothing of numbers.
            raise UnreadablePickleError("sets the state of what has none")

    def stored(self) -> None:
        reference = self.stack.pop()
        match reference:
            case ("storage", Name(text=kind), str(key), str(), int(count), *view) if (
                kind in DTYPES and view in ([], [None])
            ):
                self.push(Storage(DTYPES[kind], key, count))
            case ("module", Name(text=kind), str(), str()) if kind == PARAMETERS:
                # Before zip, torch put the source text of a module beside its name.
                self.push(reference[1])
            case _:
                raise UnreadablePickleError("refers to something that is no storage of numbers")


def _made(function: str, arguments: tuple[Any, ...]) -> Any:
    """What a call would have given, described."""
    if function in SETS:
        return None
    if function == ORDERED and arguments in ((), ([],)):
        return {}
    if function == ORDERED and len(arguments) == 1 and type(arguments[0]) is list:
        made = {}
        for pair in arguments[0]:
            if type(pair) not in (list, tuple) or len(pair) != 2:
                break
            made[_checked_key(pair[0])] = pair[1]
        else:
            return made
    if function == PARAMETER and len(arguments) == 3 and isinstance(arguments[0], StoredTensor):
        return arguments[0]
    if function == TENSOR and len(arguments) in (6, 7):
        storage, offset, shape, strides = arguments[:4]
        plain = len(arguments) == 6 or arguments[6] in (None, {})
        if isinstance(storage, Storage) and plain and _all_whole((offset,), shape, strides):
            return StoredTensor(storage, offset, shape, strides)
    raise UnreadablePickleError(f"calls {function!r} in a way that no embedding needs")


def _all_whole(*groups: Any) -> bool:
    return all(
        type(group) is tuple and len(group) <= 16 and all(type(item) is int for item in group)
        for group in groups
    )


def _checked_key(key: Any) -> Any:
    if type(key) is str or (type(key) is int and abs(key) < LARGEST_KEY):
        return key
    raise UnreadablePickleError("has a mapping with keys that are no words")


OPERATIONS: Mapping[bytes, Callable[[_Machine], None]] = {
    b"(": lambda m: m.push(MARK),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"]": lambda m: m.push([]),
    b"}": lambda m: m.push({}),
    b")": lambda m: m.push(()),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"J": lambda m: m.push(m.number("<i")),
    b"\x8a": lambda m: m.push(int.from_bytes(m.take(m.number("<B")), "little", signed=True)),
    b"G": lambda m: m.push(m.number(">d")),
    b"X": lambda m: m.text(),
    b"c": lambda m: m.name(),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"h": lambda m: m.recall(m.number("<B")),
    b"j": lambda m: m.recall(m.number("<I")),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"a": lambda m: m.append([m.stack.pop()]),
    b"e": lambda m: m.append(m.since_mark()),
    b"s": lambda m: m.set_items(m.pair()),
    b"u": lambda m: m.set_items(m.since_mark()),
    b"R": lambda m: m.call(),
    b"\x81": lambda m: m.new(),
    b"b": lambda m: m.build(),
    b"Q": lambda m: m.stored(),
}


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
        raise BadContent(f"{file.origin} is a whole model, not an embedding", SAFER)
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
            "learned concept",
            "give the embedding file of one concept",
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
        raise refuse_pickle(data, origin, *error.args) from error


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
            raise BadContent(f"{numbers.origin} is a whole model, not an embedding", SAFER)
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
