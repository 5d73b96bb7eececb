"""The data-only reader of pickles: the same values as the real one, and nothing else."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict

import pytest

from ticli.library import DEEPEST_STACK, MOST_OPERATIONS, UnreadablePickleError, read_pickle

VALUES = [
    None, True, False, 0, 255, 256, 65535, 65536, -1, 2**31 - 1, -(2**31), 2**40, -(2**70), 0.5,
    -1e300, "", "text", "ü👩", [], [1, [2, [3]]], (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4),
    {}, {"a": 1, "b": {"c": [None]}}, {1: "one"}, OrderedDict(), OrderedDict(a=1, b=[2]),
    [["shared"]] * 3, {str(n): n for n in range(3000)}, list(range(3000)),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_plain_values_come_out_as_pickle_gives_them(value: object) -> None:
    data = pickle.dumps(value, 2)
    assert read_pickle(data) == (pickle.loads(data), len(data))


def test_what_follows_is_left_alone() -> None:
    data = pickle.dumps([1], 2)
    assert read_pickle(b"xx" + data + b"more", 2) == ([1], 2 + len(data))


def test_a_list_that_holds_itself_stays_small() -> None:
    data = b"\x80\x02]q\x00h\x00a."
    (value, _) = read_pickle(data)
    assert value[0] is value


REFUSED = {
    "empty": b"",
    "another protocol": pickle.dumps([1], 4),
    "protocol 0": pickle.dumps([1], 0),
    "no stop": b"\x80\x02]",
    "cut off": pickle.dumps("a" * 1000, 2)[:-10],
    "two values": b"\x80\x02NN.",
    "no value": b"\x80\x02.",
    "pops nothing": b"\x80\x02s.",
    "a tuple of nothing": b"\x80\x02\x87.",
    "no mark": b"\x80\x02Nt.",
    "memo that is empty": b"\x80\x02h\x05.",
    "memo of nothing": b"\x80\x02q\x05.",
    "append to a tuple": b"\x80\x02)Na.",
    "an item in a list": b"\x80\x02]NNs.",
    "an odd number of items": b"\x80\x02}(Nu.",
    "a list as key": b"\x80\x02}]Ns.",
    "a tuple as key": b"\x80\x02})Ns.",
    "a huge number as key": b"\x80\x02}\x8a\x08" + b"\xff" * 7 + b"\x7fNs.",
    "a call of a text": b"\x80\x02X\1\0\0\0a)R.",
    "a call of a storage's name": b"\x80\x02ctorch\nFloatStorage\n)R.",
    "a new object": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "an unknown name": b"\x80\x02cos\nsystem\n.",
    "a name without end": b"\x80\x02cos\n" + b"s" * 1000,
    "a name on one line": b"\x80\x02cos.system",
    "text beyond the file": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "text too long": b"\x80\x02X" + struct.pack("<I", 2 << 20) + b"a" * (2 << 20) + b".",
    "broken UTF-8": b"\x80\x02X\2\0\0\0\xff\xff.",
    "half a surrogate": b"\x80\x02X\3\0\0\0\xed\xa0\x80.",
    "a storage that is a text": b"\x80\x02X\1\0\0\0aQ.",
    "a storage of no known numbers": (
        b"\x80\x02(X\7\0\0\0storageccollections\nOrderedDict\nX\1\0\0\0" + b"0X\3\0\0\0cpuK\1tQ."
    ),
    "an ordered dict of texts": b"\x80\x02ccollections\nOrderedDict\n](X\1\0\0\0aea\x85R.",
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused_in_words(name: str) -> None:
    with pytest.raises(UnreadablePickleError) as caught:
        read_pickle(REFUSED[name])
    assert str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02" + b"]" * (DEEPEST_STACK + 10) + b"a" * (DEEPEST_STACK + 9) + b".",
        b"\x80\x02N" + b"q\x00" * (MOST_OPERATIONS + 1) + b".",
        b"\x80\x02" + b"(" * (DEEPEST_STACK + 10) + b".",
    ],
    ids=["deep", "long", "marks"],
)
def test_a_pickle_has_bounds(data: bytes) -> None:
    with pytest.raises(UnreadablePickleError, match="more parts"):
        read_pickle(data)


def test_a_bomb_of_shared_lists_is_never_walked() -> None:
    """Forty lists of two references each: 2^40 leaves for whoever walks it."""
    data = b"\x80\x02]q\x00"
    for level in range(40):
        data += b"](" + b"h" + bytes([level]) + b"h" + bytes([level]) + b"e"
        data += b"q" + bytes([level + 1])
    # Only the last list is left on the stack.
    value, _ = read_pickle(b"\x80\x02](" + data[2:] + b"e.")
    assert len(value) == 41
