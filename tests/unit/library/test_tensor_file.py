"""The own reader and writer of safetensors: equal to the real one, and stricter."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.numpy import load
from safetensors.torch import save as save_torch

from ticli.errors import BadContent
from ticli.library import build_tensor_file, parse_tensor_file

VECTOR = {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}


def raw(header: object, buffer: bytes = bytes(8)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + buffer


def test_the_real_library_reads_what_is_written() -> None:
    tensors = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "<mug>": np.full((1, 5), -0.0, np.float32),
    }
    data = build_tensor_file(tensors, {"z": "é", "a": 'quote" and \\'})
    found = load(data)
    assert found.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert found[key].tobytes() == tensor.tobytes() and found[key].shape == tensor.shape
    assert parse_tensor_file(data, "x").metadata == {"a": 'quote" and \\', "z": "é"}
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_what_the_real_library_writes_is_read_as_float32(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0.1, -65504.0, 3e-5], [float("inf"), -0.0, 1 / 3]], dtype=dtype)
    data = save_torch({"emb_params": tensor, "other": tensor[:1].clone()}, {"format": "pt"})
    found = parse_tensor_file(data, "x").tensors
    assert found["emb_params"].dtype == np.float32
    np.testing.assert_array_equal(found["emb_params"], tensor.float().numpy())
    np.testing.assert_array_equal(found["other"], tensor[:1].float().numpy())


def test_padding_after_the_header_is_legal() -> None:
    assert list(parse_tensor_file(raw(json.dumps({"a": VECTOR}).encode() + b"   "), "x").tensors)


HOSTILE = {
    "header longer than the file": (2**62).to_bytes(8, "little") + b"{}",
    "header length of all ones": b"\xff" * 8 + b"{}",
    "header cut off": raw({"a": VECTOR})[:30],
    "no object": raw([]),
    "not JSON": raw(b"{'a': 1}"),
    "not UTF-8": raw(b'{"\xff": {}}'),
    "nested deeply": raw(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "number of 5000 digits": raw(b'{"a":{"dtype":"F32","shape":[' + b"1" * 5000 + b"]}}"),
    "tensor twice": raw(b'{"a":%s,"a":%s}' % ((json.dumps(VECTOR).encode(),) * 2)),
    "metadata twice": raw(b'{"__metadata__":{},"__metadata__":{}}', b""),
    "field twice": raw(b'{"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}'),
    "metadata no text": raw({"__metadata__": {"a": 1}, "a": VECTOR}),
    "metadata no mapping": raw({"__metadata__": "a", "a": VECTOR}),
    "metadata too large": raw({"__metadata__": {"a": "x" * (1 << 20)}, "a": VECTOR}),
    "header too large": raw(b"{" + b" " * (8 << 20) + b"}"),
    "trailing bytes": raw({"a": VECTOR}, bytes(9)),
    "missing bytes": raw({"a": VECTOR}, bytes(7)),
    "hole": raw({"a": VECTOR, "b": {**VECTOR, "data_offsets": [16, 24]}}, bytes(24)),
    "hole at the start": raw({"a": {**VECTOR, "data_offsets": [8, 16]}}, bytes(16)),
    "overlap": raw({"a": VECTOR, "b": {**VECTOR, "data_offsets": [4, 12]}}, bytes(12)),
    "the same bytes twice": raw({"a": VECTOR, "b": VECTOR}),
    "backwards": raw({"a": {**VECTOR, "data_offsets": [8, 0]}}),
    "negative size": raw({"a": {**VECTOR, "shape": [-1, -2]}}),
    "size as text": raw({"a": {**VECTOR, "shape": ["1", "2"]}}),
    "size as truth": raw({"a": {**VECTOR, "shape": [True, 2]}}),
    "size as fraction": raw({"a": {**VECTOR, "shape": [1.0, 2]}}),
    "size that overflows": raw({"a": {**VECTOR, "shape": [2**62, 4, 2**62]}}),
    "a million dimensions": raw({"a": {**VECTOR, "shape": [1] * 1_000_000}}),
    "shape of another size": raw({"a": {**VECTOR, "shape": [3]}}),
    "no offsets": raw({"a": {"dtype": "F32", "shape": [2]}}),
    "an extra field": raw({"a": {**VECTOR, "stride": [0, 0]}}),
    "tensor no mapping": raw({"a": 3}),
    "unknown numbers": raw({"a": {**VECTOR, "dtype": "I64", "shape": [1]}}),
    "numbers of a list": raw({"a": {**VECTOR, "dtype": []}}),
    "many tensors": raw(
        {str(n): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(65)}, b""
    ),
    "half a surrogate": raw(
        b'{"__metadata__":{"a":"\\ud800"},"b":%s}' % json.dumps(VECTOR).encode()
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_words(name: str) -> None:
    with pytest.raises(BadContent, match=r"^odd\.safetensors"):
        parse_tensor_file(HOSTILE[name], "odd.safetensors")


def test_whatever_is_accepted_the_real_library_accepts_too() -> None:
    """Flip every byte of a small file: no crash, no reading that the real library refuses."""
    good = build_tensor_file({"a": np.ones((1, 2), np.float32)}, {"k": "v"})
    accepted = 0
    for position in range(len(good)):
        for flip in (1, 0x80):
            data = bytearray(good)
            data[position] ^= flip
            try:
                found = parse_tensor_file(bytes(data), "x")
            except BadContent:
                continue
            accepted += 1
            try:
                real = load(bytes(data))
            except SafetensorError as error:
                pytest.fail(f"byte {position} ^ {flip}: the real library says {error}")
            assert real.keys() == found.tensors.keys()
    assert accepted >= 16
